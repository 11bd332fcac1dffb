//! Convolution over two axes: patches, overlapping patches and, with as many groups as channels, depth-wise.

use super::ReduceSum;
use super::check::{exactly, no_gradient, one};
use super::conv_kernel::kernel_gradient;
use super::conv_transpose::ConvTranspose;
use super::kernel::Conv;
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

impl Operator for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, kernel] = exactly(inputs.get(..2).ok_or("expected 2 or 3 inputs")?)?;
        let [batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)] = x.shape[..] else {
            return Err("expected an image [B, C, H, W]".into());
        };
        let (k, groups) = (Dim::Fixed(self.kernel), self.groups);
        let Some(out @ Dim::Fixed(count)) = kernel.shape.first().copied() else {
            return Err("expected a kernel [O, C/G, K, K]".into());
        };
        if groups == 0 || !channels.is_multiple_of(groups) || !count.is_multiple_of(groups) {
            return Err(format!("{channels} and {count} channels are not {groups} equal groups"));
        }
        if kernel.shape[1..] != [Dim::Fixed(channels / groups), k, k] {
            return Err(format!("the kernel must be [{out}, {}, {k}, {k}]", channels / groups));
        }
        if inputs.get(2).is_some_and(|bias| bias.shape[..] != [out]) {
            return Err(format!("the bias must be [{out}]"));
        }
        let side = |size| self.positions(size).map(Dim::Fixed).ok_or("the kernel does not fit");
        one(Fact::f32([batch, out, side(height)?, side(width)?]))
    }

    fn attributes(&self) -> Vec<Attribute> {
        Conv::attributes(self)
    }

    /// `dx` is the transposed convolution of `dy` with the same kernel; `db` sums `dy` over rows and positions.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let mut found = vec![None; needed.len()];
        if needed[0] {
            found[0] = Some(input_gradient(g, node, *self, grad)?);
        }
        if needed[1] {
            found[1] = Some(kernel_gradient(g, node, *self, grad)?);
        }
        if needed.get(2) == Some(&true) {
            let sum = ReduceSum { axes: vec![0, 2, 3], keep: false };
            found[2] = Some(g.wire(format!("{}.grad.bias", node.name), sum, &[grad])?);
        }
        Ok(found)
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        // Each output element sums over one kernel: C/G × K × K.
        Some(output.shape.iter().chain(&inputs[1].shape[1..]).copied().collect())
    }
}

fn input_gradient(g: &mut Graph, node: &Node, conv: Conv, grad: Wire) -> Result<Wire, Error> {
    let [_, _, Dim::Fixed(height), Dim::Fixed(width)] = g.fact(node.inputs[0]).shape[..] else {
        return Err(no_gradient(g, node, "the image's size is open"));
    };
    let transposed = ConvTranspose { conv, size: [height, width] };
    g.wire(format!("{}.grad", node.name), transposed, &[grad, node.inputs[1]])
}
