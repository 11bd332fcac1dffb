//! What a family's file gives.

use super::layers::Layers;
use super::{Error, Wire};

/// The three parts of a family's graph. A plan may be cut between any two blocks.
pub(super) trait Parts {
    /// Wires what lies before the first block, from [`PIXELS`] on.
    ///
    /// # Shapes
    /// `[B, 3, S, S]` to `[B, N, D]`.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error>;

    /// Wires one block with its adapters.
    ///
    /// # Shapes
    /// `[B, N, D]` as the block before left it to `[B, N, D]` of this block; of the last, only the tokens that the
    /// pooling reads.
    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error>;

    /// Wires what makes one feature of the tokens that the last block left.
    ///
    /// # Shapes
    /// `[B, N, D]` to `[B, D]`.
    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error>;

    /// Wires what the pooling reads of the tokens that any block left, as one vector, not normed: the class token, or a mean.
    ///
    /// # Shapes
    /// `[B, N, D]` to `[B, D]`, with the D of the block.
    fn pooled(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error>;
}
