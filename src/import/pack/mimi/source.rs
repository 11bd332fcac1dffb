//! A checkpoint's file: its tensors and what it says of itself.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::backbone::sha256_hex;
use crate::import::backbone::checkpoint::Checkpoint;
use crate::import::torch::{Object, TorchFile, Tree};

/// Largest file that is read, bytes; ViT-L with the optimiser's state fits.
const MAX_BYTES: u64 = 6 << 30;

/// A checkpoint as it lies on disk.
pub(in super::super) struct Source {
    pub(in super::super) checkpoint: Checkpoint,
    pub(in super::super) sha256: String,
    /// `MODEL.TYPE` of its configuration, where it has one.
    pub(super) model_type: Option<String>,
    /// What it says of its training, for the pack's provenance; claims, not measurements.
    pub(super) claims: Map<String, Value>,
}

impl Source {
    /// Reads a `.safetensors` file, or one of `torch.save`.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        let context = || path.display().to_string();
        let length = std::fs::metadata(path).with_context(context)?.len();
        ensure!(length <= MAX_BYTES, "{}: {length} bytes, more than the {MAX_BYTES} allowed", path.display());
        let bytes = std::fs::read(path).with_context(context)?;
        let sha256 = sha256_hex(&bytes);
        match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
            "safetensors" => {
                let checkpoint = Checkpoint::from_safetensors(path, &bytes)?;
                Ok(Self { checkpoint, sha256, model_type: None, claims: Map::new() })
            }
            "pth" | "pt" => {
                let mut file = TorchFile::open(&bytes).with_context(context)?;
                let checkpoint = Checkpoint::from_torch(path, &mut file, None)?;
                let (model_type, claims) = (model_type(file.tree()), claims(file.tree()));
                Ok(Self { checkpoint, sha256, model_type, claims })
            }
            _ => bail!(
                "{}: expected a folder, or a file ending in .safetensors, .pth, .pt or .npz",
                path.display()
            ),
        }
    }
}

fn model_type(tree: &Tree) -> Option<String> {
    match tree.find(&["config", "MODEL", "TYPE"])? {
        Object::Text(text) => Some(text.chars().take(64).collect()),
        _ => None,
    }
}

fn claims(tree: &Tree) -> Map<String, Value> {
    let number = |key: &str| match tree.find(&[key])? {
        Object::Int(value) => Some(json!(i64::try_from(*value).ok()?)),
        Object::Float(value) => Some(json!(value)),
        _ => None,
    };
    let claim = |key: &str| Some((key.to_owned(), number(key)?));
    ["epoch", "max_accuracy"].into_iter().filter_map(claim).collect()
}
