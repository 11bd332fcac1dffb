//! What can be wrong with a backbone.

use std::path::PathBuf;

/// Why a backbone could not be read or used.
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
    /// Tensors are missing, unexpected or mis-shaped; every one is named.
    #[error("{path}: {} tensor(s) do not fit the backbone: {}", problems.len(), problems.join("; "))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// One sentence a tensor.
        problems: Vec<String>,
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
}

impl Error {
    /// Names the file an I/O error belongs to.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
