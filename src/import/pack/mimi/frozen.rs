//! Whether a checkpoint's backbone is the one its pack will be served on.

use std::path::Path;

use anyhow::{Context, Result};

use super::layout::Family;
use super::names::importable;
use crate::backbone::{BackboneConfig, WEIGHTS_FILE};
use crate::import::backbone::checkpoint::Checkpoint;
use crate::import::backbone::translate::tensors;

/// Largest difference that rounding may make, relative to the tensor's largest magnitude.
const TOLERANCE: f32 = 1e-6;

/// How the checkpoint's frozen weights differ from the backbone's.
#[derive(Clone, Debug, PartialEq)]
pub enum Frozen {
    /// The checkpoint has none.
    Absent,
    /// Tensors that differ, by our names, each with the largest difference.
    Compared {
        /// How many were compared.
        count: usize,
        /// Those that differ.
        different: Vec<(String, f32)>,
    },
    /// They cannot be compared.
    Incomparable(String),
}

impl Frozen {
    /// What is wrong, in words; nothing where the weights agree or are not there.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Incomparable(reason) => Some(format!("the backbones cannot be compared: {reason}")),
            Self::Compared { different, .. } if different.is_empty() => None,
            Self::Compared { count, different } => {
                let norms = different.iter().all(|(name, _)| name.contains("norm"));
                let hint = if norms {
                    "; only norms do: they were trained, and packs have no place for them"
                } else {
                    ""
                };
                let first = different.iter().take(6).map(|(name, by)| format!("{name} by {by:.3e}"));
                let (number, first) = (different.len(), first.collect::<Vec<_>>().join(", "));
                let more = if number > 6 { ", …" } else { "" };
                Some(format!("{number} of {count} backbone tensors differ{hint}: {first}{more}"))
            }
        }
    }
}

/// Compares what is left of a checkpoint with the backbone in `folder`.
pub(super) fn compare(
    family: Family,
    mut rest: Checkpoint,
    (config, folder): (&BackboneConfig, &Path),
) -> Result<Frozen> {
    // The auxiliary head of Liu et al. 2021, whose repository the reference implementation is made from.
    rest.tensors.retain(|name, _| !name.starts_with("drloc."));
    if rest.tensors.is_empty() {
        return Ok(Frozen::Absent);
    }
    let path = folder.join(WEIGHTS_FILE);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let ours = Checkpoint::from_safetensors(&path, &bytes)?.tensors;
    rest.tensors =
        rest.tensors.into_iter().map(|(name, tensor)| (importable(family, &name), tensor)).collect();
    let theirs = match tensors(rest, config) {
        Ok(theirs) => theirs,
        Err(reason) => return Ok(Frozen::Incomparable(reason.to_string())),
    };
    let mut different = Vec::new();
    for (name, tensor) in &ours {
        let Some(other) = theirs.get(name).filter(|other| other.shape == tensor.shape) else {
            return Ok(Frozen::Incomparable(format!("{name} is missing or has another shape")));
        };
        let pairs = tensor.data.iter().zip(&other.data);
        // NaN differs from everything, and `max` would pass it over.
        let by =
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0f32, |a, b| if b > a || b.is_nan() { b } else { a });
        let largest = tensor.data.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        if by.is_nan() || by > TOLERANCE * largest {
            different.push((name.clone(), by));
        }
    }
    Ok(Frozen::Compared { count: ours.len(), different })
}
