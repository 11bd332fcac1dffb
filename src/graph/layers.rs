//! What the families' graphs share: linear layers, norms, MLPs, the core of attention, and adapters.

use super::ops::{Add, Gelu, GeluTanh, LayerNorm, MatMul, Mul, Sigmoid, Softmax, Transpose};
use super::{Constant, Dim, Error, Fact, Graph, Operator, Wire, down_input, up_input};
use crate::backbone::{Activation, Site, SiteSet};

/// Slope inside QuickGELU (CLIP's reference implementation).
const QUICK_GELU_SLOPE: f32 = 1.702;

/// How a graph's adapters are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// One adapter for all rows or one for each row, as each run likes.
    Free,
    /// One adapter for all rows: what gradients need.
    Shared,
}

/// Shape of an MLP: `width` to `hidden` neurons and back.
#[derive(Clone, Copy)]
pub(super) struct Mlp {
    pub(super) width: usize,
    pub(super) hidden: usize,
    pub(super) activation: Activation,
}

/// Wires layers into a graph, each under a name and with weights of that name.
pub(super) struct Layers<'a> {
    pub(super) g: &'a mut Graph,
    /// Where adapters are computed.
    pub(super) sites: SiteSet,
    /// The adapters' non-linearity.
    pub(super) adapter: Activation,
    pub(super) feed: Feed,
    /// How names begin; empty at the root.
    pub(super) scope: String,
}

impl Layers<'_> {
    /// The layers under one more name: `at("blocks.0").at("attn")` names things `blocks.0.attn.…`.
    pub(super) fn at(&mut self, name: &str) -> Layers<'_> {
        let scope = self.named(name);
        self.under(scope)
    }

    fn under(&mut self, scope: String) -> Layers<'_> {
        let (sites, adapter, feed) = (self.sites, self.adapter, self.feed);
        Layers { g: &mut *self.g, sites, adapter, feed, scope }
    }

    /// A name within the scope; the scope's own for an empty one.
    fn named(&self, name: &str) -> String {
        match (self.scope.as_str(), name) {
            ("", name) => name.into(),
            (scope, "") => scope.into(),
            (scope, name) => format!("{scope}.{name}"),
        }
    }

    /// A weight of that name within the scope.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Wire, Error> {
        self.g.weight(&self.named(name), shape)
    }

    /// Wires an operator under a name within the scope; under the scope's own for an empty one.
    pub(super) fn wire(
        &mut self,
        name: &str,
        operator: impl Operator + 'static,
        inputs: &[Wire],
    ) -> Result<Wire, Error> {
        self.g.wire(self.named(name), operator, inputs)
    }

    /// The size of an axis that does not change from run to run.
    pub(super) fn size(&self, x: Wire, axis: usize) -> usize {
        self.g.fact(x).shape.get(axis).and_then(|dim| dim.fixed()).unwrap_or(1)
    }

    /// `x · W + b`.
    ///
    /// # Shapes
    /// `[.., input]` to `[.., output]`.
    pub(super) fn linear(&mut self, x: Wire, input: usize, output: usize) -> Result<Wire, Error> {
        let weight = self.weight("weight", &[input, output])?;
        let bias = self.weight("bias", &[output])?;
        let product = self.wire("product", MatMul, &[x, weight])?;
        self.wire("", Add, &[product, bias])
    }

    /// Layer norm over the last axis, `width` long.
    pub(super) fn norm(&mut self, x: Wire, width: usize, epsilon: f32) -> Result<Wire, Error> {
        let scale = self.weight("weight", &[width])?;
        let bias = self.weight("bias", &[width])?;
        self.wire("", LayerNorm { epsilon }, &[x, scale, bias])
    }

    /// `fc2(activation(fc1(x)))` with `hidden` neurons between.
    pub(super) fn mlp(&mut self, x: Wire, Mlp { width, hidden, activation }: Mlp) -> Result<Wire, Error> {
        let h = self.at("fc1").linear(x, width, hidden)?;
        let h = self.at("act").activation(activation, h)?;
        self.at("fc2").linear(h, hidden, width)
    }

    /// Scaled attention: `softmax(q kᵀ / √d + biases) v`.
    ///
    /// # Shapes
    /// `q [.., H, N, d]`, `k` and `v [.., H, M, d]`, each bias broadcast to `[.., H, N, M]`; the result `[.., H, N, d]`.
    pub(super) fn attend(&mut self, [q, k, v]: [Wire; 3], biases: &[(&str, Wire)]) -> Result<Wire, Error> {
        let head = self.g.fact(q).shape.last().and_then(|dim| dim.fixed()).unwrap_or(1);
        self.attend_scaled(1.0 / (head as f32).sqrt(), [q, k, v], biases)
    }

    /// As [`Layers::attend`], the scores multiplied by `scale`.
    pub(super) fn attend_scaled(
        &mut self,
        scale: f32,
        [q, k, v]: [Wire; 3],
        biases: &[(&str, Wire)],
    ) -> Result<Wire, Error> {
        // Its own node, which ONNX Runtime makes part of the product: nothing is moved.
        let exchange = Transpose::last_two(self.g.fact(k).rank());
        let k = self.wire("keys", exchange, &[k])?; // [.., H, d, M]
        let scores = self.wire("scores", MatMul, &[q, k])?;
        let scale = self.g.constant(self.named("scale"), Constant::scalar(scale))?;
        let mut scores = self.wire("scaled", Mul, &[scores, scale])?;
        for (part, bias) in biases {
            scores = self.wire(part, Add, &[scores, *bias])?;
        }
        let weights = self.wire("softmax", Softmax, &[scores])?;
        self.wire("mixed", MatMul, &[weights, v])
    }

    /// The adapter `h + up · act(down · h)`; without one at the site, `h` itself and no node.
    pub(super) fn adapt(&mut self, site: Site, h: Wire) -> Result<Wire, Error> {
        if !self.sites.contains(site) {
            return Ok(h);
        }
        let width = self.g.fact(h).shape.last().and_then(|dim| dim.fixed()).unwrap_or(1);
        let (d, r) = (Dim::Fixed(width), Dim::Width(site));
        let feed = self.feed;
        let fact = |shape: [Dim; 2]| match feed {
            Feed::Free => Fact::adapter(shape),
            Feed::Shared => Fact::f32(shape),
        };
        let down = self.g.input(down_input(site), fact([d, r]))?;
        let up = self.g.input(up_input(site), fact([r, d]))?;
        let (adapter, mut layers) = (self.adapter, self.under(format!("{site}.adapter")));
        let z = layers.wire("hidden", MatMul, &[h, down])?; // [B, N, R]
        let z = layers.at("act").activation(adapter, z)?;
        let change = layers.wire("change", MatMul, &[z, up])?; // [B, N, D]
        layers.wire("out", Add, &[h, change])
    }

    /// Element by element.
    pub(super) fn activation(&mut self, activation: Activation, x: Wire) -> Result<Wire, Error> {
        match activation {
            Activation::Gelu => self.wire("", Gelu, &[x]),
            Activation::GeluTanh => self.wire("", GeluTanh, &[x]),
            Activation::QuickGelu => {
                let slope = self.g.constant(self.named("slope"), Constant::scalar(QUICK_GELU_SLOPE))?;
                let steep = self.wire("steep", Mul, &[x, slope])?;
                let gate = self.wire("gate", Sigmoid, &[steep])?;
                self.wire("", Mul, &[x, gate])
            }
        }
    }
}
