//! What every family of backbones tells of its shape.

use super::{Activation, Error};

/// The numbers of a backbone that everything outside its own graph needs: the engine, the trainer and packs see
/// only these, so that a new family is one description here and one graph there.
pub trait Shape {
    /// Side of the square input, pixels (S).
    fn image_size(&self) -> usize;

    /// Number of blocks (L), stages flattened.
    fn depth(&self) -> usize;

    /// Width of the tokens in `block` (D), the width of adapters there.
    fn block_width(&self, block: usize) -> usize;

    /// Tokens that `block` leaves (N), which its adapters see.
    fn block_tokens(&self, block: usize) -> usize;

    /// Width of the pooled feature a head reads.
    fn feature_width(&self) -> usize;

    /// Non-linearity of the adapters: the backbone's own, as far as the method's reference goes (GELU for ViT and
    /// Swin, QuickGELU for CvT).
    fn activation(&self) -> Activation;

    /// Shape of one row entering `block`, which is not the first. What a block does before its first branch,
    /// merging of patches for one, belongs to it, so this is what the block before it left.
    ///
    /// # Shapes
    /// `[N, D]`, without the batch.
    fn hidden_shape(&self, block: usize) -> Vec<usize> {
        let before = block.saturating_sub(1);
        vec![self.block_tokens(before), self.block_width(before)]
    }

    /// Every tensor the backbone has, by name, with its shape, in order of use.
    ///
    /// # Shapes
    /// Matrices are `[in, out]`.
    fn tensors(&self) -> Vec<(String, Vec<usize>)>;

    /// Number of learned values.
    fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field that cannot be.
    fn validate(&self) -> Result<(), Error>;
}

/// Lists weight and bias of a layer norm.
pub(super) fn push_norm(list: &mut Vec<(String, Vec<usize>)>, name: &str, width: usize) {
    list.push((format!("{name}.weight"), vec![width]));
    list.push((format!("{name}.bias"), vec![width]));
}

/// Lists weight and bias of a linear layer.
pub(super) fn push_linear(list: &mut Vec<(String, Vec<usize>)>, name: &str, input: usize, output: usize) {
    list.push((format!("{name}.weight"), vec![input, output]));
    list.push((format!("{name}.bias"), vec![output]));
}

/// [`Error::Invalid`] unless `holds`.
pub(super) fn ensure(
    holds: bool,
    field: &'static str,
    value: impl ToString,
    reason: &str,
) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Invalid { field, value: value.to_string(), reason: reason.into() })
}
