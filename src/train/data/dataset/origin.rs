//! Where images come from, and which of them are used.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::walk::Walk;
use crate::pack::ProblemType;

/// Where images come from, and which of them are used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// A folder a class, such folders under a folder for each of train, validation and test, or a CSV file.
    #[serde(serialize_with = "exactly")]
    pub data: PathBuf,
    /// Held-out images in the same forms, instead of those in `data`.
    #[serde(serialize_with = "exactly_or_none")]
    pub validation: Option<PathBuf>,
    /// Share of each class held out where neither has any, 0 to 1.
    pub holdout: f64,
    /// Most training images of a class; none is no bound.
    pub per_class: Option<usize>,
    /// Most held-out images of a class; none is no bound.
    pub held_out_per_class: Option<usize>,
    /// Seed of what is drawn: that share, and which images are used where there are more.
    pub seed: u64,
    /// How both are walked.
    pub walk: Walk,
    /// What their labels mean. Left out of an identity where it is a class, so that older records can be continued.
    #[serde(skip_serializing_if = "ProblemType::is_single_label")]
    pub problem: ProblemType,
}

/// A path as text that no other path has, be it UTF-8 or not.
fn exactly<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_os_str().as_encoded_bytes().escape_ascii())
}

fn exactly_or_none<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => exactly(path, serializer),
        None => serializer.serialize_none(),
    }
}
