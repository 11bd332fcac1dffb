//! Weights in several files, with an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use serde::Deserialize;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::single;
use crate::backbone::{Error as BackboneError, Origin, Taken, sha256_hex};
use crate::files::without_mark;

/// Most files an index may name.
const MAX_FILES: usize = 1000;

#[derive(Deserialize)]
struct Index {
    /// Each tensor's file.
    weight_map: BTreeMap<String, String>,
}

/// Whether a JSON file is such an index.
pub(super) fn is_index(bytes: &[u8]) -> bool {
    let bytes = without_mark(bytes);
    bytes.trim_ascii_start().starts_with(b"{") && bytes.windows(12).any(|part| part == b"\"weight_map\"")
}

/// Reads every file that the index names; the digest is of the index and the files' digests, in order of name.
///
/// # Errors
/// When a file is missing or damaged, or holds other tensors than the index says.
pub(super) fn read(path: &Path, bytes: &[u8], key: Option<&str>) -> Result<Checkpoint, Error> {
    let text = without_mark(bytes);
    let index: Index =
        serde_json::from_slice(text).map_err(|source| BackboneError::Config { path: path.into(), source })?;
    let unknown = |reason: String| Error::UnknownLayout { path: path.into(), reason };
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    if files.is_empty() || files.len() > MAX_FILES {
        return Err(unknown(format!("weight_map names {} files; expected 1 to {MAX_FILES}", files.len())));
    }
    let mut whole = Checkpoint { path: path.into(), ..Checkpoint::default() };
    let mut digests = sha256_hex(bytes);
    for name in files {
        if !is_plain(name) {
            return Err(unknown(format!("weight_map names {name:?}; expected a file beside it")));
        }
        let shard = read_shard(&path.with_file_name(name), key)?;
        digests.push_str(&shard.sha256);
        let (value, from) = (name.clone(), format!("sha256 {}", shard.sha256));
        whole.notes.push(Taken { what: "weights, in part".into(), value, origin: Origin::File, from });
        merge(&mut whole, shard, (name, &index)).map_err(&unknown)?;
    }
    let missing: Vec<&String> = index
        .weight_map
        .keys()
        .filter(|name| !whole.has(name) && !whole.left_out.contains(name))
        .take(5)
        .collect();
    if !missing.is_empty() {
        return Err(unknown(format!("its files do not hold {missing:?}, which weight_map names")));
    }
    whole.left_out.sort();
    whole.sha256 = sha256_hex(digests.as_bytes());
    Ok(whole)
}

fn read_shard(path: &Path, key: Option<&str>) -> Result<Checkpoint, Error> {
    let bytes = fs::read(path).map_err(BackboneError::io(path))?;
    let mut shard = single::read(path, &bytes, key)?.0;
    shard.sha256 = sha256_hex(&bytes);
    Ok(shard)
}

/// Adds a file's tensors, each of which must be the index's.
fn merge(whole: &mut Checkpoint, shard: Checkpoint, (file, index): (&str, &Index)) -> Result<(), String> {
    for (name, tensor) in shard.tensors {
        match index.weight_map.get(&name) {
            Some(told) if told == file => drop(whole.tensors.insert(name, tensor)),
            Some(told) => return Err(format!("{file} holds {name}, which weight_map says is in {told}")),
            None => return Err(format!("{file} holds {name}, which weight_map does not name")),
        }
    }
    whole.left_out.extend(shard.left_out);
    whole.prefix = whole.prefix.take().or(shard.prefix);
    Ok(())
}

/// Whether a name is one file's, in the same folder.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
}
