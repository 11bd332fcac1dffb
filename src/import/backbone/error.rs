//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use crate::import::torch;

/// Why a checkpoint could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it gives is not a backbone, or its files cannot be read or written.
    #[error(transparent)]
    Backbone(#[from] crate::backbone::Error),
    /// The checkpoint is not a file of `torch.save`, or a damaged one.
    #[error("{path}: {source}")]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: torch::Error,
    },
    /// Two sources tell different things of one model.
    #[error("{what}: {a}, but {b}")]
    Contradiction {
        /// What they tell of.
        what: String,
        /// What the first says, and where.
        a: String,
        /// What the second says, and where.
        b: String,
    },
    /// The model is one that is known and not supported.
    #[error(
        "{path}: {family} is not supported (found {sign}); supported: ViT, DeiT, the image towers of CLIP and SigLIP, DINOv2, Swin (v1) and CvT"
    )]
    Unsupported {
        /// The checkpoint, or the file that tells.
        path: PathBuf,
        /// The model, or its part.
        family: String,
        /// By what it was known.
        sign: String,
    },
    /// Weights that are NaN or infinite.
    #[error("{path}: {count} tensor(s) hold values that are not finite: {}", first.join("; "))]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// How many tensors do.
        count: usize,
        /// The first of them, each with its first such value.
        first: Vec<String>,
    },
    /// A checkpoint's naming is none of those known.
    #[error("{path}: unknown checkpoint layout: {reason}")]
    UnknownLayout {
        /// The checkpoint.
        path: PathBuf,
        /// What was looked for.
        reason: String,
    },
}

impl Error {
    /// A number or name that the backbone cannot have.
    pub(super) fn invalid(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        let (value, reason) = (value.to_string(), reason.into());
        crate::backbone::Error::Invalid { field, value, reason }.into()
    }
}
