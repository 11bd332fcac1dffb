//! What the families' graphs share: linear layers, norms, MLPs, the core of attention, and adapters.

use super::ops::{Add, Gelu, GeluTanh, LayerNorm, MatMul, Mul, Sigmoid, Softmax, Transpose};
use super::{Constant, Dim, Error, Fact, Graph, Wire, down_input, up_input};
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

/// Wires layers into a graph, each under its own name and with weights of that name.
pub(super) struct Layers<'a> {
    pub(super) g: &'a mut Graph,
    /// Where adapters are computed.
    pub(super) sites: SiteSet,
    /// The adapters' non-linearity.
    pub(super) adapter: Activation,
    pub(super) feed: Feed,
}

impl Layers<'_> {
    /// `x · W + b`.
    ///
    /// # Shapes
    /// `[.., input]` to `[.., output]`.
    pub(super) fn linear(
        &mut self,
        name: &str,
        x: Wire,
        (input, output): (usize, usize),
    ) -> Result<Wire, Error> {
        let weight = self.g.weight(&format!("{name}.weight"), &[input, output])?;
        let bias = self.g.weight(&format!("{name}.bias"), &[output])?;
        let product = self.g.wire(format!("{name}.product"), MatMul, &[x, weight])?;
        self.g.wire(name, Add, &[product, bias])
    }

    /// Layer norm over the last axis, `width` long.
    pub(super) fn norm(
        &mut self,
        name: &str,
        x: Wire,
        (width, epsilon): (usize, f32),
    ) -> Result<Wire, Error> {
        let scale = self.g.weight(&format!("{name}.weight"), &[width])?;
        let bias = self.g.weight(&format!("{name}.bias"), &[width])?;
        self.g.wire(name, LayerNorm { epsilon }, &[x, scale, bias])
    }

    /// `fc2(activation(fc1(x)))` with `hidden` neurons between.
    pub(super) fn mlp(
        &mut self,
        name: &str,
        x: Wire,
        Mlp { width, hidden, activation }: Mlp,
    ) -> Result<Wire, Error> {
        let h = self.linear(&format!("{name}.fc1"), x, (width, hidden))?;
        let h = self.activation(&format!("{name}.act"), activation, h)?;
        self.linear(&format!("{name}.fc2"), h, (hidden, width))
    }

    /// Scaled attention: `softmax(q kᵀ / √d + biases) v`.
    ///
    /// # Shapes
    /// `q [.., H, N, d]`, `k` and `v [.., H, M, d]`, each bias broadcast to `[.., H, N, M]`; the result `[.., H, N, d]`.
    pub(super) fn attend(
        &mut self,
        name: &str,
        [q, k, v]: [Wire; 3],
        biases: &[(&str, Wire)],
    ) -> Result<Wire, Error> {
        let head = self.g.fact(q).shape.last().and_then(|dim| dim.fixed()).unwrap_or(1);
        self.attend_scaled(name, 1.0 / (head as f32).sqrt(), [q, k, v], biases)
    }

    /// As [`Layers::attend`], the scores multiplied by `scale`.
    pub(super) fn attend_scaled(
        &mut self,
        name: &str,
        scale: f32,
        [q, k, v]: [Wire; 3],
        biases: &[(&str, Wire)],
    ) -> Result<Wire, Error> {
        let scale = Constant::scalar(scale);
        // Its own node, which ONNX Runtime makes part of the product: nothing is moved.
        let exchange = Transpose::last_two(self.g.fact(k).rank());
        let k = self.g.wire(format!("{name}.keys"), exchange, &[k])?; // [.., H, d, M]
        let scores = self.g.wire(format!("{name}.scores"), MatMul, &[q, k])?;
        let scale = self.g.constant(format!("{name}.scale"), scale)?;
        let mut scores = self.g.wire(format!("{name}.scaled"), Mul, &[scores, scale])?;
        for (part, bias) in biases {
            scores = self.g.wire(format!("{name}.{part}"), Add, &[scores, *bias])?;
        }
        let weights = self.g.wire(format!("{name}.softmax"), Softmax, &[scores])?;
        self.g.wire(format!("{name}.mixed"), MatMul, &[weights, v])
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
        let name = format!("{site}.adapter");
        let z = self.g.wire(format!("{name}.hidden"), MatMul, &[h, down])?; // [B, N, R]
        let z = self.activation(&format!("{name}.act"), self.adapter, z)?;
        let change = self.g.wire(format!("{name}.change"), MatMul, &[z, up])?; // [B, N, D]
        self.g.wire(format!("{name}.out"), Add, &[h, change])
    }

    /// Element by element.
    pub(super) fn activation(&mut self, name: &str, activation: Activation, x: Wire) -> Result<Wire, Error> {
        match activation {
            Activation::Gelu => self.g.wire(name, Gelu, &[x]),
            Activation::GeluTanh => self.g.wire(name, GeluTanh, &[x]),
            Activation::QuickGelu => {
                let slope = Constant::scalar(QUICK_GELU_SLOPE);
                let slope = self.g.constant(format!("{name}.slope"), slope)?;
                let steep = self.g.wire(format!("{name}.steep"), Mul, &[x, slope])?;
                let gate = self.g.wire(format!("{name}.gate"), Sigmoid, &[steep])?;
                self.g.wire(name, Mul, &[x, gate])
            }
        }
    }
}
