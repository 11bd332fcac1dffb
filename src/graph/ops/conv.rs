//! The patch embedding's convolution: kernel and stride are the patch.

use super::{Operator, exactly, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Fact};

/// Convolution of `[B, 3, S, S]` with a kernel `[D, 3, P, P]` at stride `P`, with a bias `[D]` or none.
///
/// # Shapes
/// Output `[B, D, S/P, S/P]`.
#[derive(Debug)]
pub struct PatchConv {
    /// Kernel and stride (P).
    pub patch: usize,
}

impl Operator for PatchConv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, kernel] = exactly(inputs.get(..2).ok_or("expected 2 or 3 inputs")?)?;
        let [batch, channels, Dim::Fixed(height), Dim::Fixed(width)] = x.shape[..] else {
            return Err("expected pixels [B, 3, S, S]".into());
        };
        let patch = Dim::Fixed(self.patch);
        let [out, kernel_in, kh, kw] = kernel.shape[..] else {
            return Err("expected a kernel [D, 3, P, P]".into());
        };
        if kernel_in != channels || kh != patch || kw != patch {
            return Err(format!("the kernel must be [D, {channels}, {patch}, {patch}]"));
        }
        if inputs.get(2).is_some_and(|bias| bias.shape[..] != [out]) {
            return Err(format!("the bias must be [{out}]"));
        }
        one(Fact::f32([batch, out, Dim::Fixed(height / self.patch), Dim::Fixed(width / self.patch)]))
    }

    fn attributes(&self) -> Vec<Attribute> {
        let patch = self.patch as i64;
        vec![Attribute::ints("kernel_shape", &[patch, patch]), Attribute::ints("strides", &[patch, patch])]
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        // Each output element sums over one kernel: channels × P × P.
        Some(output.shape.iter().chain(&inputs[1].shape[1..]).copied().collect())
    }
}
