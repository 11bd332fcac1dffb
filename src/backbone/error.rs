//! What can be wrong with a backbone.

use std::path::PathBuf;

/// Why a backbone could not be read, imported or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `config.json` is not a valid description.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why parsing failed.
        source: serde_json::Error,
    },
    /// A value in the configuration is impossible.
    #[error("backbone configuration: {field} = {value} is not possible: {reason}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: String,
        /// Why that cannot be.
        reason: String,
    },
    /// The weights file is not a safetensors file.
    #[error("{path}: not a valid safetensors file: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The checkpoint is not a file of `torch.save`, or a damaged one.
    #[error("{path}: {source}")]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::torch::Error,
    },
    /// Tensors are missing, unexpected or mis-shaped; every one is named.
    #[error("{path}: {} tensor(s) do not fit the backbone: {}", problems.len(), problems.join("; "))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// One sentence a tensor.
        problems: Vec<String>,
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
    /// The weights are not the ones the configuration was written for.
    #[error("{path}: sha256 is {found}, but config.json says {expected}")]
    Fingerprint {
        /// The weights file.
        path: PathBuf,
        /// What the configuration says.
        expected: String,
        /// What the file has.
        found: String,
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
    /// Names the file an I/O error belongs to.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
