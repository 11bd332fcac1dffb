//! A linear layer of an adapter, whatever it was made of.

/// A linear layer: `[in, out]`, and its bias.
pub(super) struct Layer {
    pub(super) matrix: Vec<f32>,
    pub(super) output: usize,
    pub(super) bias: Vec<f32>,
}
