//! Why a file of another library cannot become a pack.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest part of a file's own text that an error repeats, characters.
const LONGEST: usize = 160;

/// Why a file of another library cannot become a pack.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// The key or tensor in it; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl Refused {
    /// Of a whole file.
    pub(super) fn file(path: &Path, reason: impl fmt::Display) -> Self {
        Self::key(path, "", reason)
    }

    /// Of one key or tensor.
    pub(super) fn key(path: &Path, key: &str, reason: impl fmt::Display) -> Self {
        Self { path: path.into(), key: told(key), reason: reason.to_string() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refused {}

/// A file's own text, short and without control characters.
pub(super) fn told(text: &str) -> String {
    let mut told: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        told.push('…');
    }
    told
}
