//! The geometry of a convolution, which its gradient shares.

use crate::graph::onnx::Attribute;

/// Convolution with a square kernel `[O, C/G, K, K]`, with a bias `[O]` or none; zeros lie around the image.
///
/// # Shapes
/// `[B, C, H, W]` to `[B, O, ⌊(H + 2p − K)/s⌋ + 1, ⌊(W + 2p − K)/s⌋ + 1]`, `s` the stride, `p` the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Side of the kernel (K).
    pub kernel: usize,
    /// Pixels from one position of the kernel to the next.
    pub stride: usize,
    /// Zeros put on each side.
    pub padding: usize,
    /// Parts (G) into which input and output channels are divided; each output sees its own part only.
    pub groups: usize,
}

impl Conv {
    /// Positions of the kernel along an axis of `size` pixels, if it fits.
    pub fn positions(&self, size: usize) -> Option<usize> {
        Some((size + 2 * self.padding).checked_sub(self.kernel)?.checked_div(self.stride)? + 1)
    }

    /// What the operator and its gradient are told.
    pub(super) fn attributes(&self) -> Vec<Attribute> {
        let [kernel, stride, padding, groups] =
            [self.kernel, self.stride, self.padding, self.groups].map(|n| n as i64);
        vec![
            Attribute::ints("kernel_shape", &[kernel; 2]),
            Attribute::ints("strides", &[stride; 2]),
            Attribute::ints("pads", &[padding; 4]),
            Attribute::int("group", groups),
        ]
    }
}
