//! What the families' graphs share: linear layers, norms, MLPs, and the core of attention.

use super::ops::{
    Add, Gelu, GeluTanh, JoinLast, LayerNorm, MatMul, Mul, Relu, Reshape, Sigmoid, Softmax, SplitLast,
    Transpose,
};
use super::{Constant, Dim, Error, Fact, Graph, Operator, Trained, Wire};
use crate::backbone::{Activation, ModuleSet, Place, Site};

/// Slope inside QuickGELU (CLIP's reference implementation).
const QUICK_GELU_SLOPE: f32 = 1.702;

/// Name of the input that multiplies a branch, a sub-layer or a module, `[B, 1, 1]`.
pub fn keep_input(branch: &str) -> String {
    format!("{KEEP}{branch}")
}

/// What the names of those inputs begin with.
pub const KEEP: &str = "keep/";

/// How a graph's modules are fed.
#[derive(Clone, Copy)]
pub(super) enum Feed<'a> {
    /// One module for all rows or one for each row, as each run likes.
    Free,
    /// One module for all rows, its tensors expressed by what is trained: what gradients need.
    Shared(Trained<'a>),
}

/// Shape of an MLP: `width` to `hidden` neurons and back.
#[derive(Clone, Copy)]
pub(super) struct Mlp {
    /// The block it belongs to; none of an attention pool's.
    pub(super) block: Option<usize>,
    pub(super) width: usize,
    pub(super) hidden: usize,
    pub(super) activation: Activation,
}

/// Wires layers into a graph, each under a name and with weights of that name.
pub(super) struct Layers<'a> {
    pub(super) g: &'a mut Graph,
    /// The modules that are computed.
    pub(super) modules: ModuleSet,
    /// The adapters' non-linearity.
    pub(super) adapter: Activation,
    pub(super) feed: Feed<'a>,
    /// How names begin; empty at the root.
    pub(super) scope: String,
}

impl Layers<'_> {
    /// The layers under one more name: `at("blocks.0").at("attn")` names things `blocks.0.attn.…`.
    pub(super) fn at(&mut self, name: &str) -> Layers<'_> {
        let scope = self.named(name);
        self.under(scope)
    }

    /// The layers under a scope of its own.
    pub(super) fn under(&mut self, scope: String) -> Layers<'_> {
        let (modules, adapter, feed) = (self.modules, self.adapter, self.feed);
        Layers { g: &mut *self.g, modules, adapter, feed, scope }
    }

    /// A name within the scope; the scope's own for an empty one.
    pub(super) fn named(&self, name: &str) -> String {
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

    /// The size of the last axis.
    pub(super) fn width(&self, x: Wire) -> usize {
        self.size(x, self.g.fact(x).rank().saturating_sub(1))
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

    /// As [`Layers::linear`], with the modules at its site, where it has one.
    pub(super) fn linear_at(
        &mut self,
        site: impl Into<Option<Site>>,
        x: Wire,
        input: usize,
        output: usize,
    ) -> Result<Wire, Error> {
        let y = self.linear(x, input, output)?;
        match site.into() {
            Some(site) => self.change(site, x, y),
            None => Ok(y),
        }
    }

    /// The last axis, `a · b` long, as two.
    ///
    /// # Shapes
    /// `[B, .., D]` to `[B, .., a, b]`.
    pub(super) fn split_last(&mut self, name: &str, x: Wire, into: [usize; 2]) -> Result<Wire, Error> {
        match self.fixed_rest(x, 1) {
            Some(rest) => self.wire(name, Reshape { rest: [&rest[..], &into].concat() }, &[x]),
            None => self.wire(name, SplitLast { into: into.into() }, &[x]),
        }
    }

    /// The last two axes, `a` and `b` long, as one.
    ///
    /// # Shapes
    /// `[B, .., a, b]` to `[B, .., D]`.
    pub(super) fn join_last(&mut self, name: &str, x: Wire, axes: [usize; 2]) -> Result<Wire, Error> {
        match self.fixed_rest(x, 2) {
            Some(rest) => {
                let joined = [axes[0] * axes[1]];
                self.wire(name, Reshape { rest: [&rest[..], &joined].concat() }, &[x])
            }
            None => self.wire(name, JoinLast { axes: axes.into() }, &[x]),
        }
    }

    /// Sizes of the axes between the batch and the last `last`; none if a run decides one of them.
    fn fixed_rest(&self, x: Wire, last: usize) -> Option<Vec<usize>> {
        let shape = &self.g.fact(x).shape;
        shape.get(1..shape.len().checked_sub(last)?)?.iter().map(|dim| dim.fixed()).collect()
    }

    /// Layer norm over the last axis, `width` long.
    pub(super) fn norm(&mut self, x: Wire, width: usize, epsilon: f32) -> Result<Wire, Error> {
        let scale = self.weight("weight", &[width])?;
        let bias = self.weight("bias", &[width])?;
        self.wire("", LayerNorm { epsilon }, &[x, scale, bias])
    }

    /// `fc2(activation(fc1(x)))` with `hidden` neurons between.
    pub(super) fn mlp(&mut self, x: Wire, mlp: Mlp) -> Result<Wire, Error> {
        let Mlp { block, width, hidden, activation } = mlp;
        let site = |place| block.map(|block| Site::new(block, place));
        let h = self.at("fc1").linear_at(site(Place::Fc1), x, width, hidden)?;
        let h = self.at("act").activation(activation, h)?;
        self.at("fc2").linear_at(site(Place::Fc2), h, hidden, width)
    }

    /// `x + h`, what a sub-layer adds to the residual stream.
    pub(super) fn residual(&mut self, site: Site, x: Wire, h: Wire) -> Result<Wire, Error> {
        let h = self.kept(&site.to_string(), h)?;
        self.wire(&format!("{}.residual", site.place.as_str()), Add, &[x, h])
    }

    /// A branch, multiplied by what the input [`keep_input`] of its name has for each row; itself where paths are not
    /// dropped.
    ///
    /// # Shapes
    /// `[B, N, D]`.
    pub(super) fn kept(&mut self, branch: &str, h: Wire) -> Result<Wire, Error> {
        match self.feed {
            Feed::Shared(Trained { drops_paths: true, .. }) => {
                let keep = Fact::f32([Dim::Batch, Dim::Fixed(1), Dim::Fixed(1)]);
                let keep = self.g.input(keep_input(branch), keep)?;
                self.under(format!("{branch}.kept")).wire("", Mul, &[h, keep])
            }
            _ => Ok(h),
        }
    }

    /// Scaled attention: `softmax(q kᵀ / √d + biases) v`, with the keys and values of a prefix where the plan has one.
    ///
    /// # Shapes
    /// `q [.., H, N, d]`, `k` and `v [.., H, M, d]`, each bias broadcast to `[.., H, N, M]`; the result `[.., H, N, d]`.
    pub(super) fn attend(
        &mut self,
        site: Site,
        [q, k, v]: [Wire; 3],
        biases: &[(&str, Wire)],
    ) -> Result<Wire, Error> {
        let head = self.width(q);
        self.attend_scaled(site, 1.0 / (head as f32).sqrt(), [q, k, v], biases)
    }

    /// As [`Layers::attend`], the scores multiplied by `scale`.
    pub(super) fn attend_scaled(
        &mut self,
        site: Site,
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
        let scores = self.change(site, scores, scores)?;
        if let Some(prefix) = self.prefix(site.block, scale, q)? {
            return self.mixed_with(prefix, q, scores, v);
        }
        let weights = self.wire("softmax", Softmax, &[scores])?;
        self.wire("mixed", MatMul, &[weights, v])
    }

    /// Element by element.
    pub(super) fn activation(&mut self, activation: Activation, x: Wire) -> Result<Wire, Error> {
        match activation {
            Activation::Gelu => self.wire("", Gelu, &[x]),
            Activation::GeluTanh => self.wire("", GeluTanh, &[x]),
            Activation::Relu => self.wire("", Relu, &[x]),
            Activation::Silu => {
                let gate = self.wire("gate", Sigmoid, &[x])?;
                self.wire("", Mul, &[x, gate])
            }
            Activation::QuickGelu => {
                let slope = self.g.constant(self.named("slope"), Constant::scalar(QUICK_GELU_SLOPE))?;
                let steep = self.wire("steep", Mul, &[x, slope])?;
                let gate = self.wire("gate", Sigmoid, &[steep])?;
                self.wire("", Mul, &[x, gate])
            }
        }
    }
}
