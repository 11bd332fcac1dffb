//! Skipped files, with the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::errors::once;
use crate::files::write_atomically;
use crate::image;

/// Why a file is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its content is in no supported format, whatever its name is.
    NotAnImage,
    /// It lies deeper than its class folder, and nested folders were not asked for.
    Nested,
    /// It is an image outside every class folder.
    Loose,
    /// It lies in a folder beside the splits.
    BesideSplits,
    /// Its name begins with a dot, or is one that a system or an archiver leaves behind.
    Hidden,
    /// It is a link to nothing.
    DeadLink,
    /// It is a folder that is reached twice, or a link into itself.
    LinkedTwice,
    /// The same image is listed again under the same class and split.
    Duplicate,
    /// A list names it and it is not there.
    Missing,
    /// It is a folder, a pipe, a socket or a device.
    NotAFile,
    /// The system refuses to read it.
    Unreadable,
    /// It has no bytes.
    Empty,
    /// It has more bytes or pixels than allowed.
    TooLarge,
    /// It is a form of its format that is not decoded.
    Unsupported,
    /// It breaks its own format.
    Malformed,
}

/// A skipped file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
    /// More of it: the system's or the decoder's words.
    pub detail: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnImage => "not an image",
            Self::Nested => "nested",
            Self::Loose => "loose",
            Self::BesideSplits => "beside the splits",
            Self::Hidden => "hidden",
            Self::DeadLink => "dead link",
            Self::LinkedTwice => "linked twice",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
            Self::NotAFile => "not a file",
            Self::Unreadable => "unreadable",
            Self::Empty => "empty",
            Self::TooLarge => "too large",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
        })
    }
}

impl LeftOut {
    /// Skips `path`.
    pub fn new(path: impl Into<PathBuf>, reason: Reason, detail: impl Into<String>) -> Self {
        Self { path: path.into(), reason, detail: detail.into() }
    }

    /// Skips `path` because reading or decoding failed.
    pub fn failed(path: &Path, error: &anyhow::Error) -> Self {
        use image::Error as E;
        let reason = match error.downcast_ref::<E>() {
            None => Reason::Unreadable,
            Some(E::Empty) => Reason::Empty,
            Some(E::UnsupportedFormat { .. }) => Reason::NotAnImage,
            Some(E::UnsupportedFeature { .. } | E::KnownFormat { .. }) => Reason::Unsupported,
            Some(E::TooManyBytes { .. } | E::TooLarge { .. } | E::TooElongated { .. }) => Reason::TooLarge,
            Some(_) => Reason::Malformed,
        };
        Self::new(path, reason, once(&**error))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// Counts skipped files by reason.
pub fn by_reason(left_out: &[LeftOut]) -> BTreeMap<Reason, usize> {
    let mut counts = BTreeMap::new();
    left_out.iter().for_each(|one| *counts.entry(one.reason).or_insert(0) += 1);
    counts
}

/// One line with counts by reason and the first file of each; none if nothing was skipped.
pub fn summary(left_out: &[LeftOut]) -> Option<String> {
    let reasons = by_reason(left_out).into_iter().map(|(reason, count)| {
        let first = left_out.iter().find(|one| one.reason == reason);
        format!("{count} {reason} ({})", first.map(|one| one.path.display().to_string()).unwrap_or_default())
    });
    let reasons: Vec<String> = reasons.collect();
    let count = left_out.len();
    (count > 0).then(|| format!("left out: {count}, of which {}", reasons.join(", ")))
}

/// Writes them as a CSV file of reason, path and detail; paths byte for byte.
///
/// # Errors
/// When the file cannot be written.
pub fn write_list(file: &Path, left_out: &[LeftOut]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["reason", "path", "detail"])?;
    for one in left_out {
        let path = one.path.as_os_str().as_encoded_bytes();
        csv.write_record([one.reason.to_string().as_bytes(), path, one.detail.as_bytes()])?;
    }
    let bytes = csv.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
    write_atomically(file, &bytes).with_context(|| file.display().to_string())
}
