//! What the JSON files beside a checkpoint say, timm's and Hugging Face's.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Request;
use crate::backbone::{Activation, Error};

/// The parts of timm's `config.json` that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct TimmConfig {
    pub(super) architecture: Option<String>,
    global_pool: Option<String>,
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
}

impl TimmConfig {
    /// Side of the input the weights were trained for, pixels.
    pub(super) fn image_size(&self) -> Option<usize> {
        self.pretrained_cfg.as_ref()?.input_size.map(|[_, height, _]| height)
    }

    /// What the feature is made of, if the file tells.
    pub(super) fn pools(&self) -> Result<Option<Pools>, Error> {
        match self.global_pool.as_deref() {
            None | Some("") => Ok(None),
            Some("token") => Ok(Some(Pools::Tokens)),
            Some("avg") => Ok(Some(Pools::Patches)),
            Some("map") => Ok(Some(Pools::Attention)),
            Some(other) => {
                let reason = "config.json's global_pool is none of token, avg and map".into();
                Err(Error::Invalid { field: "pool", value: other.into(), reason })
            }
        }
    }
}

/// timm's ways of pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pools {
    /// The class token; with a distillation token, both.
    Tokens,
    /// The patches' mean.
    Patches,
    /// A learned query's attention.
    Attention,
}

/// How timm prepares images for the weights.
#[derive(Debug, Deserialize)]
pub(super) struct PretrainedConfig {
    pub(super) mean: Option<[f32; 3]>,
    pub(super) std: Option<[f32; 3]>,
    pub(super) crop_pct: Option<f64>,
    pub(super) crop_mode: Option<String>,
    pub(super) interpolation: Option<String>,
    pub(super) input_size: Option<[usize; 3]>,
}

/// The parts of Hugging Face's `config.json` that matter here.
#[derive(Debug, Default)]
pub(super) struct HuggingFaceConfig {
    pub(super) depth: Option<usize>,
    pub(super) heads: Option<usize>,
    pub(super) activation: Option<Activation>,
    pub(super) layer_norm_eps: Option<f32>,
    /// Side of the input, pixels.
    pub(super) image_size: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct HuggingFaceFile {
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    image_size: Option<serde_json::Value>,
    vision_config: Option<Box<HuggingFaceFile>>,
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

/// timm's `config.json` beside the weights, if it is one.
pub(super) fn timm_config(request: &Request) -> Result<Option<TimmConfig>, Error> {
    Ok(read_beside::<TimmConfig>(request, "config.json")?.filter(|config| config.pretrained_cfg.is_some()))
}

/// Hugging Face's `config.json` beside the weights.
pub(super) fn hugging_face_config(request: &Request) -> Result<HuggingFaceConfig, Error> {
    let Some(file) = read_beside::<HuggingFaceFile>(request, "config.json")? else {
        return Ok(HuggingFaceConfig::default());
    };
    // CLIP keeps its vision tower's numbers one level down.
    let file = match file.vision_config {
        Some(vision) => *vision,
        None => file,
    };
    let activation = match file.hidden_act.as_deref() {
        None => None,
        Some("gelu") => Some(Activation::Gelu),
        Some("quick_gelu") => Some(Activation::QuickGelu),
        Some("gelu_pytorch_tanh") => Some(Activation::GeluTanh),
        Some(other) => {
            let reason = "expected gelu, gelu_pytorch_tanh or quick_gelu".into();
            return Err(Error::Invalid { field: "hidden_act", value: other.into(), reason });
        }
    };
    Ok(HuggingFaceConfig {
        depth: file.num_hidden_layers,
        heads: file.num_attention_heads,
        activation,
        layer_norm_eps: file.layer_norm_eps,
        image_size: file.image_size.and_then(|size| usize::try_from(size.as_u64()?).ok()),
    })
}

/// `preprocessor_config.json` beside the weights.
pub(super) fn preprocessor(request: &Request) -> Result<Option<Preprocessor>, Error> {
    read_beside(request, "preprocessor_config.json")
}

/// Side of the images that `preprocessor_config.json` makes, if there is one.
pub(super) fn told_size(request: &Request) -> Result<Option<usize>, Error> {
    let file = preprocessor(request)?;
    let size = file.as_ref().and_then(|file| file.crop_size.as_ref().or(file.size.as_ref()));
    Ok(size.map(|size| match *size {
        Size::Side(side) | Size::ShortSide { shortest_edge: side } => side as usize,
        Size::Exact { height, .. } => height as usize,
    }))
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
            let parsed = serde_json::from_slice(crate::files::without_mark(&bytes));
            parsed.map(Some).map_err(|source| Error::Config { path: path.into(), source })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}
