//! What the JSON files beside a checkpoint say, timm's and Hugging Face's.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use super::request::Request;
use crate::backbone::Error as BackboneError;

/// How timm prepares images for the weights.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PretrainedConfig {
    pub(super) mean: Option<[f32; 3]>,
    pub(super) std: Option<[f32; 3]>,
    pub(super) crop_pct: Option<f64>,
    pub(super) crop_mode: Option<String>,
    pub(super) interpolation: Option<String>,
    pub(super) input_size: Option<[usize; 3]>,
    /// Whether the weights take images of one size only.
    pub(super) fixed_input_size: Option<bool>,
}

/// `preprocessor_config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Preprocessor {
    pub(super) image_mean: Option<[f32; 3]>,
    pub(super) image_std: Option<[f32; 3]>,
    pub(super) size: Option<Size>,
    pub(super) crop_size: Option<Size>,
    pub(super) resample: Option<u8>,
    pub(super) do_resize: Option<bool>,
    pub(super) do_center_crop: Option<bool>,
    pub(super) do_rescale: Option<bool>,
    pub(super) do_normalize: Option<bool>,
    pub(super) rescale_factor: Option<f64>,
    pub(super) crop_pct: Option<f64>,
    #[serde(alias = "feature_extractor_type")]
    pub(super) image_processor_type: Option<String>,
}

/// A size in any of the forms that `preprocessor_config.json` has had.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Size {
    Side(u32),
    ShortSide { shortest_edge: u32 },
    Exact { height: u32, width: u32 },
}

impl Size {
    /// The side, if the size is a square's.
    pub(super) fn square(&self) -> Option<u32> {
        match *self {
            Self::Side(side) => Some(side),
            Self::Exact { height, width } => (height == width).then_some(height),
            Self::ShortSide { .. } => None,
        }
    }
}

/// Whether a `config.json` is timm's.
pub(super) fn is_timms(file: &Value) -> bool {
    ["pretrained_cfg", "model_args", "architecture"].iter().any(|key| file.get(key).is_some())
}

/// Whether a `config.json` is Hugging Face's; one that wraps a model of timm is timm's.
pub(super) fn is_hugging_faces(file: &Value) -> bool {
    let signs = ["model_type", "architectures", "hidden_size", "num_attention_heads", "vision_config"];
    !is_timms(file) && signs.iter().any(|key| file.get(key).is_some())
}

/// `preprocessor_config.json` beside the weights.
pub(super) fn preprocessor(request: &Request) -> Result<Option<Preprocessor>, Error> {
    read_beside(request, "preprocessor_config.json")
}

/// Side of the images that `preprocessor_config.json` makes, if there is one.
pub(super) fn told_size(request: &Request) -> Result<Option<usize>, Error> {
    let file = preprocessor(request)?;
    let size = file.as_ref().and_then(|file| file.crop_size.as_ref().or(file.size.as_ref()));
    match size {
        None => Ok(None),
        Some(Size::Side(side) | Size::ShortSide { shortest_edge: side }) => Ok(Some(*side as usize)),
        Some(Size::Exact { height, width }) if height == width => Ok(Some(*height as usize)),
        Some(Size::Exact { height, width }) => Err(Error::Unsupported {
            path: beside(request, "preprocessor_config.json"),
            family: format!("a rectangular input of {height}x{width} pixels"),
            sign: "size or crop_size".into(),
        }),
    }
}

fn beside(request: &Request, name: &str) -> PathBuf {
    request.weights.with_file_name(name)
}

/// Reads a JSON file beside the weights, if there is one.
pub(super) fn read_beside<T: DeserializeOwned>(request: &Request, name: &str) -> Result<Option<T>, Error> {
    read(&beside(request, name))
}

/// Reads a JSON file, if there is one.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => {
            // Editors on Windows put a byte-order mark before UTF-8.
            let text = crate::files::without_mark(&bytes);
            if [&b"\xff\xfe"[..], b"\xfe\xff"].iter().any(|mark| text.starts_with(mark)) {
                let reason = "it is UTF-16, by its byte-order mark; expected UTF-8".into();
                return Err(Error::UnknownLayout { path: path.into(), reason });
            }
            let parsed = serde_json::from_slice(text);
            Ok(Some(parsed.map_err(|source| BackboneError::Config { path: path.into(), source })?))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BackboneError::Io { path: path.into(), source }.into()),
    }
}
