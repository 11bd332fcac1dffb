//! Layer normalisation over the last axis.

use super::check::{exactly, reduced};
use super::{Mul, ReduceMean, ReduceSum, Sub};
use crate::graph::onnx::Attribute;
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = (x − μ) / √(σ² + ε) · γ + β` over the last axis (Ba et al. 2016).
///
/// # Shapes
/// Inputs `x [.., D]`, `γ [D]`, `β [D]`; outputs `y [.., D]`, then `μ` and `1 / √(σ² + ε)`, both `[.., 1]`.
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
        let last = x.rank() - 1;
        let statistic = reduced(x, &[last], true)?;
        Ok(vec![x.clone(), statistic.clone(), statistic])
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1), Attribute::float("epsilon", self.epsilon)]
    }

    /// With `c = x − μ`, `s = 1 / √(σ² + ε)`, `t = dy · γ` and means over the last axis:
    /// `dx = s · (t − mean(t) − c · s² · mean(t · c))`; `dγ = Σ dy · c · s` and `dβ = Σ dy` over all other axes.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let centred =
            g.wire(format!("{}.grad.centred", node.name), Sub, &[node.inputs[0], node.outputs[1]])?;
        let dx = needed[0].then(|| input_gradient(g, node, [grad, centred])).transpose()?;
        let scale = needed[1].then(|| scale_gradient(g, node, [grad, centred])).transpose()?;
        let bias = needed[2].then(|| summed(g, format!("{}.grad.bias", node.name), grad)).transpose()?;
        Ok(vec![dx, scale, bias])
    }
}

fn input_gradient(g: &mut Graph, node: &Node, [grad, centred]: [Wire; 2]) -> Result<Wire, Error> {
    let n = |part: &str| format!("{}.grad.{part}", node.name);
    let (gamma, axis, inverse) = (node.inputs[1], g.fact(grad).rank() - 1, node.outputs[2]);
    let precision = g.wire(n("precision"), Mul, &[inverse, inverse])?; // [.., 1]
    let scaled = g.wire(n("scaled"), Mul, &[grad, gamma])?;
    let product = g.wire(n("product"), Mul, &[scaled, centred])?;
    let along = g.wire(n("along"), ReduceMean { axis, keep: true }, &[product])?;
    let along = g.wire(n("slope"), Mul, &[along, precision])?;
    let across = g.wire(n("across"), ReduceMean { axis, keep: true }, &[scaled])?;
    let rest = g.wire(n("shifted"), Sub, &[scaled, across])?;
    let part = g.wire(n("part"), Mul, &[centred, along])?;
    let rest = g.wire(n("rest"), Sub, &[rest, part])?;
    g.wire(format!("{}.grad", node.name), Mul, &[rest, inverse])
}

fn scale_gradient(g: &mut Graph, node: &Node, [grad, centred]: [Wire; 2]) -> Result<Wire, Error> {
    let product = g.wire(format!("{}.grad.weighed", node.name), Mul, &[grad, centred])?;
    let product = g.wire(format!("{}.grad.normed", node.name), Mul, &[product, node.outputs[2]])?;
    summed(g, format!("{}.grad.scale", node.name), product)
}

/// The sum over all axes but the last.
fn summed(g: &mut Graph, name: String, x: Wire) -> Result<Wire, Error> {
    let axes = (0..g.fact(x).rank() - 1).collect();
    g.wire(name, ReduceSum { axes, keep: false }, &[x])
}
