//! Why a checkpoint cannot become a pack.

use crate::backbone::Site;

/// Why a checkpoint cannot become a pack.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tensors' names are none of the reference implementation's.
    #[error("not a checkpoint of the reference implementation: {0}")]
    Layout(String),
    /// A tensor is missing or not what it should be.
    #[error("{tensor}: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A mask removes single weights, as SNIP, GraSP and magnitude pruning do.
    #[error(
        "{tensor}: the mask removes single weights, not whole neurons (SNIP, GraSP); a pack has no place for that"
    )]
    Unstructured {
        /// The mask.
        tensor: String,
    },
    /// The adapters stand beside the sub-layers, not behind them.
    #[error(
        "{tensor}: the adapters are of the parallel kind, with a norm of their own; packs hold those in series"
    )]
    Parallel {
        /// The norm's tensor.
        tensor: String,
    },
    /// The two masks of an adapter keep different neurons.
    #[error("{site}: the masks of fc1 and fc2 keep different neurons ({down:?} and {up:?})")]
    Disagreement {
        /// The adapter.
        site: Site,
        /// Neurons kept by one and not the other.
        down: Vec<usize>,
        /// The other way round.
        up: Vec<usize>,
    },
}

impl Error {
    pub(super) fn tensor(tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { tensor: tensor.into(), reason: reason.into() }
    }
}
