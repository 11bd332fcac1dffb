//! A file's tensors, whatever the file is called: its content decides.

use std::fs;
use std::path::Path;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::{shards, single};
use crate::backbone::{Error as BackboneError, sha256_hex};

/// The tensors of the file, and its format where that comes before any naming.
///
/// # Errors
/// When the file cannot be read or is none of those known; well-known others are named.
pub(super) fn open(path: &Path, key: Option<&str>) -> Result<(Checkpoint, Option<&'static str>), Error> {
    if path.is_dir() {
        let reason = "it is a folder; give the file of the weights in it, or their index".into();
        return Err(Error::UnknownLayout { path: path.into(), reason });
    }
    let bytes = fs::read(path).map_err(BackboneError::io(path))?;
    if shards::is_index(&bytes) {
        return Ok((shards::read(path, &bytes, key)?, None));
    }
    if is_part(path) {
        let reason = "it is one of several files; give their index, named ….index.json".into();
        return Err(Error::UnknownLayout { path: path.into(), reason });
    }
    let (mut checkpoint, format) = single::read(path, &bytes, key)?;
    checkpoint.sha256 = sha256_hex(&bytes);
    Ok((checkpoint, format))
}

/// Whether a file is named as one of several: `model-00001-of-00002.safetensors`.
fn is_part(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let count = stem.rsplit_once("-of-").and_then(|(_, count)| count.parse::<usize>().ok());
    count.is_some_and(|count| count > 1)
}
