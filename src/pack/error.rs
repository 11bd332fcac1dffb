//! What can be wrong with a pack.

use std::path::PathBuf;

/// Why a pack could not be read or written.
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
    /// A file is larger than any pack needs to be.
    #[error("{path}: {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// `adapter_config.json` is not a manifest.
    #[error("{path}: {source}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Where and why parsing failed.
        source: serde_json::Error,
    },
    /// A field of the manifest has an impossible value.
    #[error("manifest: {field} = {value}: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why it is impossible.
        reason: String,
    },
    /// The factorised method of a pack is unknown, or does not fit.
    #[error("manifest: factorised: {0}")]
    Factorised(#[from] crate::adaptation::Error),
    /// The served tensors would take too much memory.
    #[error("{method}: the served tensors would take {bytes} bytes, more than the {limit} allowed")]
    TooWide {
        /// The factorised method.
        method: &'static str,
        /// Bytes of the served tensors.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The served tensors could not be made.
    #[error("{method}: the served tensors cannot be made: {reason}")]
    Expansion {
        /// The factorised method.
        method: &'static str,
        /// What the runtime said.
        reason: String,
    },
    /// A pack that keeps smaller tensors was asked for where nothing makes the served ones.
    #[error("the pack keeps the factors of {method}, and only a runtime makes served tensors of them")]
    Unexpanded {
        /// The factorised method.
        method: &'static str,
    },
    /// The pack was trained on another backbone.
    #[error(
        "the pack belongs to backbone {pack_name} ({pack_sha256}), but this server runs {name} ({sha256})"
    )]
    OtherBackbone {
        /// The pack's backbone.
        pack_name: String,
        /// Its fingerprint.
        pack_sha256: String,
        /// The resident backbone.
        name: String,
        /// Its fingerprint.
        sha256: String,
    },
    /// The tensors' file is not the one that the manifest describes.
    #[error("{path}: sha256 is {found}, but the manifest says {expected}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// The manifest's digest.
        expected: String,
        /// The file's.
        found: String,
    },
    /// The tensors' file is malformed.
    #[error("{path}: not a valid safetensors file: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A tensor is missing.
    #[error("tensor {tensor} is missing (expected {expected:?})")]
    Missing {
        /// The tensor.
        tensor: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor is not part of the format.
    #[error("tensor {tensor} is not part of a pack with this manifest")]
    Unexpected {
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape or dtype.
    #[error("tensor {tensor} is {found}, expected {expected}")]
    Mismatch {
        /// The tensor.
        tensor: String,
        /// Dtype and shape found.
        found: String,
        /// Dtype and shape expected.
        expected: String,
    },
    /// A tensor holds a value that is not finite.
    #[error("tensor {tensor} holds {value} at position {index}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Position, row-major.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A file is not a pack's archive.
    #[error("{path}: not a .mipack: {reason}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The pack cannot be had from where packs come from.
    #[error("it cannot be fetched: {reason}")]
    Fetch {
        /// Why not.
        reason: String,
        /// Whether the store or the disk failed, rather than that something else is there.
        is_passing: bool,
    },
    /// A task's name is not allowed.
    #[error(
        "invalid task id {0:?}: expected 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit"
    )]
    TaskId(String),
    /// The version already exists; versions never change.
    #[error("{path} already exists; versions never change")]
    VersionExists {
        /// The version's folder.
        path: PathBuf,
    },
}

impl Error {
    /// Whether reading failed, rather than the pack: no descriptors, no permission, a broken disk, no memory to expand it.
    /// It may pass without a change of the files.
    pub fn is_of_reading(&self) -> bool {
        use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
        match self {
            Self::Io { source, .. } => !matches!(source.kind(), NotFound | NotADirectory | IsADirectory),
            // Names and shapes were checked before.
            Self::Expansion { .. } => true,
            // What is not there now may come.
            Self::Fetch { .. } => true,
            _ => false,
        }
    }

    /// Whether a version that is still being copied may cause this: a file is missing, or ends too early.
    pub fn may_be_incomplete(&self) -> bool {
        match self {
            Self::Io { .. } => !self.is_of_reading(),
            Self::Manifest { source, .. } => source.is_eof() || source.is_syntax(),
            Self::Digest { .. } => true,
            _ => false,
        }
    }

    /// Names the file an I/O error belongs to.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn field(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), reason: reason.into() }
    }
}
