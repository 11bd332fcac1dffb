//! Layer normalisation over the last axis.

use super::{Add, Constant, Gradients, Mul, Operator, Reciprocal, ReduceMean, ReduceSumSquare, Sqrt, Sub};
use super::{exactly, no_gradient, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// `y = (x − μ) / √(σ² + ε) · γ + β` over the last axis (Ba et al. 2016).
///
/// # Shapes
/// Inputs `x [.., D]`, `γ [D]`, `β [D]`.
#[derive(Debug)]
pub struct LayerNorm {
    /// Added to the variance (ε).
    pub epsilon: f32,
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, scale, bias] = exactly(inputs)?;
        let width = x.shape.last().ok_or("expected a tensor with an axis")?;
        if scale.shape[..] != [*width] || bias.shape[..] != [*width] {
            return Err(format!("scale and bias must be [{width}]"));
        }
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1), Attribute::float("epsilon", self.epsilon)]
    }

    /// With `c = x − μ`, `s = 1 / √(σ² + ε)`, `t = dy · γ` and means over the last axis:
    /// `dx = s · (t − mean(t) − c · s² · mean(t · c))`. Scale and bias are frozen.
    ///
    /// Mean and deviation are computed anew: not every device's forward kernel gives them.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        if needed[1] || needed[2] {
            return Err(no_gradient(g, node, "scale and bias are frozen"));
        }
        let n = |part: &str| format!("{}.grad.{part}", node.name);
        let (x, gamma, axis) = (node.inputs[0], node.inputs[1], g.fact(grad).rank() - 1);
        let mean = ReduceMean { axis, keep: true };
        let mean = g.wire(n("mean"), mean, &[x])?;
        let centred = g.wire(n("centred"), Sub, &[x, mean])?;
        let (variance, inverse) = self.spread(g, node, centred)?; // [.., 1]
        let scaled = g.wire(n("scaled"), Mul, &[grad, gamma])?;
        let product = g.wire(n("product"), Mul, &[scaled, centred])?;
        let along = g.wire(n("along"), ReduceMean { axis, keep: true }, &[product])?;
        let along = g.wire(n("slope"), Mul, &[along, variance])?;
        let across = g.wire(n("across"), ReduceMean { axis, keep: true }, &[scaled])?;
        let rest = g.wire(n("shifted"), Sub, &[scaled, across])?;
        let part = g.wire(n("part"), Mul, &[centred, along])?;
        let rest = g.wire(n("rest"), Sub, &[rest, part])?;
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Mul, &[rest, inverse])?), None, None])
    }
}

impl LayerNorm {
    /// `1 / (σ² + ε)` and its root, from the centred input.
    fn spread(&self, g: &mut Graph, node: &Node, centred: Wire) -> Result<(Wire, Wire), Error> {
        let n = |part: &str| format!("{}.grad.{part}", node.name);
        let shape = &g.fact(centred).shape;
        let (axis, width) = (shape.len() - 1, shape.last().and_then(|dim| dim.fixed()));
        let width = width.ok_or_else(|| no_gradient(g, node, "the last axis is open"))?;
        let squares = g.wire(n("squares"), ReduceSumSquare { axes: vec![axis], keep: true }, &[centred])?;
        let share = g.constant(n("share"), Constant::scalar(1.0 / width as f32))?;
        let variance = g.wire(n("variance"), Mul, &[squares, share])?;
        let epsilon = g.constant(n("epsilon"), Constant::scalar(self.epsilon))?;
        let variance = g.wire(n("steadied"), Add, &[variance, epsilon])?;
        let inverse = g.wire(n("precision"), Reciprocal, &[variance])?;
        Ok((inverse, g.wire(n("inverse"), Sqrt, &[inverse])?))
    }
}
