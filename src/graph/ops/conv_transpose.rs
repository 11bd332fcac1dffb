//! The transposed convolution; appears in gradients.

use super::check::{exactly, one};
use super::kernel::Conv;
use crate::graph::Operator;
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Fact};

/// The linear map that is the transpose of `conv` on images of `size`: what reaches an output of `conv` is given
/// back to the pixels it came from.
///
/// For strides above 1 this is the fast way on CPU: a convolution with the flipped kernel over a gradient spread
/// by zeros takes two to three times as long.
///
/// # Shapes
/// `[B, O, h, w]` and the kernel `[O, C/G, K, K]` to `[B, C, H, W]`.
#[derive(Debug)]
pub struct ConvTranspose {
    /// The convolution.
    pub conv: Conv,
    /// Height and width (H, W) of the images that it reads.
    pub size: [usize; 2],
}

impl ConvTranspose {
    /// Pixels at the far edges that no position of the kernel reaches when the stride does not divide.
    fn unreached(&self) -> [usize; 2] {
        let conv = &self.conv;
        self.size.map(|size| (size + 2 * conv.padding).saturating_sub(conv.kernel) % conv.stride.max(1))
    }
}

impl Operator for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [grad, kernel] = exactly(inputs)?;
        let [batch, out, Dim::Fixed(height), Dim::Fixed(width)] = grad.shape[..] else {
            return Err("expected an image [B, O, h, w]".into());
        };
        if self.size.map(|size| self.conv.positions(size)) != [Some(height), Some(width)] {
            return Err(format!("images of {:?} do not give {height} by {width}", self.size));
        }
        match kernel.shape[..] {
            [own, Dim::Fixed(channels), _, _] if own == out => {
                let [height, width] = self.size.map(Dim::Fixed);
                one(Fact::f32([batch, Dim::Fixed(channels * self.conv.groups), height, width]))
            }
            _ => Err(format!("expected a kernel [{out}, C/G, K, K]")),
        }
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = self.conv.attributes();
        attributes.push(Attribute::ints("output_padding", &self.unreached().map(|n| n as i64)));
        attributes
    }

    fn multiply_adds(&self, inputs: &[&Fact], _output: &Fact) -> Option<Vec<Dim>> {
        // Each element of the gradient is spread over one kernel: C/G × K × K.
        Some(inputs[0].shape.iter().chain(&inputs[1].shape[1..]).copied().collect())
    }
}
