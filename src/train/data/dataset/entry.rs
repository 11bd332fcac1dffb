//! An image as a folder or a list names it.

use std::path::{Path, PathBuf};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// To train on.
    Train,
    /// To choose by.
    Validation,
    /// To be measured on once, at the end.
    Test,
}

impl Part {
    /// What images of it are called.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The part that a folder or a column names, in any case, with or without "set" behind it.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.trim().to_lowercase();
        let plain = plain.strip_suffix("set").unwrap_or(&plain).trim_end_matches(['_', '-', ' ']);
        match plain {
            "train" | "training" | "trn" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "tst" => Some(Self::Test),
            _ => None,
        }
    }
}

/// An image as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub label: String,
    pub part: Part,
    /// Its line in a CSV file.
    pub line: Option<u64>,
}

/// The path without links and detours, or as it is where there is no such file.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
