//! The tensors of another library's file; what is used is taken out, so that what is left was not understood.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::refused::Refused;
use crate::backbone::sha256_hex;
use crate::files::without_mark;
use crate::import::backbone::checkpoint::{Checkpoint, Tensor};
use crate::import::torch::TorchFile;

/// Largest file of tensors that is read, bytes: what a pack may weigh.
pub(super) const MAX_BYTES: u64 = 512 << 20;
/// Largest configuration that is read, bytes; a hundred thousand labels fit.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// The tensors of a file.
#[derive(Debug)]
pub(super) struct Tensors {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Tensors {
    /// Reads a file of safetensors or of `torch.save`, by the end of its name.
    pub(super) fn read(path: &Path) -> Result<Self, Refused> {
        let bytes = read_limited(path, MAX_BYTES)?;
        let whole = |reason: String| Refused { path: path.into(), key: String::new(), reason };
        // What these say begins with the path.
        let checked = |found: Result<Checkpoint, crate::import::backbone::Error>| {
            found.map_err(|e| whole(e.to_string().replacen(&format!("{}: ", path.display()), "", 1)))
        };
        let checkpoint = match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
            "safetensors" => checked(Checkpoint::from_safetensors(path, &bytes))?,
            _ => {
                let mut file = TorchFile::open(&bytes).map_err(|e| whole(e.to_string()))?;
                checked(Checkpoint::from_torch(path, &mut file, None))?
            }
        };
        if let Some(name) = checkpoint.left_out.first() {
            return Err(Refused::key(path, name, "holds integers; expected floats"));
        }
        Ok(Self { path: path.into(), sha256: sha256_hex(&bytes), tensors: checkpoint.tensors })
    }

    /// Reads the first of these files that the folder has.
    pub(super) fn first_of(dir: &Path, names: &[&str]) -> Result<Self, Refused> {
        let found = names.iter().map(|name| dir.join(name)).find(|path| path.exists());
        let missing = || Refused::file(dir, format!("the folder has none of {}", names.join(", ")));
        Self::read(&found.ok_or_else(missing)?)
    }

    /// Takes a tensor that must be there.
    pub(super) fn take(&mut self, key: &str) -> Result<Tensor, Refused> {
        self.tensors.remove(key).ok_or_else(|| self.refuse(key, "is missing"))
    }

    /// Why a key is refused.
    pub(super) fn refuse(&self, key: &str, reason: impl std::fmt::Display) -> Refused {
        Refused::key(&self.path, key, reason)
    }

    /// The names, so that tensors can be taken meanwhile.
    pub(super) fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }
}

/// Reads a configuration.
pub(super) fn read_json(path: &Path) -> Result<Value, Refused> {
    let bytes = read_limited(path, MAX_CONFIG_BYTES)?;
    serde_json::from_slice(without_mark(&bytes)).map_err(|e| Refused::file(path, e))
}

/// Reads a file of at most `limit` bytes, even while it grows.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    let refuse = |e: std::io::Error| Refused::file(path, e);
    let about = std::fs::metadata(path).map_err(refuse)?;
    if !about.is_file() {
        return Err(Refused::file(path, "expected a file"));
    }
    let too_large = || Refused::file(path, format!("more than the {limit} bytes allowed"));
    if about.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(refuse)?.take(limit + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}
