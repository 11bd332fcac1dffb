//! How bytes become pixels, from the files beside the weights, the family, or the request; never a guess.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::draft::{Draft, Family};
use super::{PreprocessingName, Request};
use crate::backbone::{Activation, Error};
use crate::image::{Interpolation, Preprocessing, ResizeMode};

/// The parts of timm's `config.json` that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct TimmConfig {
    pub(super) architecture: Option<String>,
    pretrained_cfg: Option<PretrainedConfig>,
}

#[derive(Debug, Deserialize)]
struct PretrainedConfig {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    crop_pct: Option<f64>,
    interpolation: Option<String>,
}

/// The parts of Hugging Face's `config.json` that matter here.
#[derive(Debug, Default)]
pub(super) struct HuggingFaceConfig {
    pub(super) heads: Option<usize>,
    pub(super) activation: Option<Activation>,
    pub(super) layer_norm_eps: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct HuggingFaceFile {
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    vision_config: Option<Box<HuggingFaceFile>>,
}

/// `preprocessor_config.json`.
#[derive(Debug, Deserialize)]
struct Preprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    size: Option<Size>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    ShortSide { shortest_edge: u32 },
    Exact { height: u32, width: u32 },
}

/// timm's `config.json` beside the weights, if it is one.
pub(super) fn timm_config(request: &Request) -> Result<Option<TimmConfig>, Error> {
    Ok(read::<TimmConfig>(&beside(request, "config.json"))?.filter(|config| config.pretrained_cfg.is_some()))
}

/// Hugging Face's `config.json` beside the weights.
pub(super) fn hugging_face_config(request: &Request) -> Result<HuggingFaceConfig, Error> {
    let Some(file) = read::<HuggingFaceFile>(&beside(request, "config.json"))? else {
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
        Some(other) => {
            let reason = "expected gelu or quick_gelu".into();
            return Err(Error::Invalid { field: "hidden_act", value: other.into(), reason });
        }
    };
    Ok(HuggingFaceConfig { heads: file.num_attention_heads, activation, layer_norm_eps: file.layer_norm_eps })
}

/// Finds the preprocessing: the request's, else the files', else the family's.
pub(super) fn find(draft: &Draft, request: &Request) -> Result<Preprocessing, Error> {
    let size = draft.vit.image_size as u32;
    if let Some(name) = request.preprocessing {
        return Ok(named(name, size));
    }
    if let Some(file) = read::<Preprocessor>(&beside(request, "preprocessor_config.json"))? {
        return from_preprocessor(&file, size);
    }
    if let Some(config) = timm_config(request)?.and_then(|config| config.pretrained_cfg) {
        return from_timm(&config, size);
    }
    match draft.family {
        Family::Clip => Ok(named(PreprocessingName::Clip, size)),
        Family::Dinov2 => Ok(named(PreprocessingName::Imagenet, size)),
        Family::Plain => Err(Error::Invalid {
            field: "preprocessing",
            value: "unknown".into(),
            reason: "neither the weights nor the files beside them tell; give clip, imagenet or half".into(),
        }),
    }
}

fn named(name: PreprocessingName, size: u32) -> Preprocessing {
    match name {
        PreprocessingName::Clip => Preprocessing::clip(size),
        PreprocessingName::Imagenet => Preprocessing::imagenet(size),
        PreprocessingName::Half => {
            Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..Preprocessing::imagenet(size) }
        }
    }
}

fn from_timm(config: &PretrainedConfig, size: u32) -> Result<Preprocessing, Error> {
    let base = Preprocessing::imagenet(size);
    let interpolation = match config.interpolation.as_deref() {
        None | Some("bicubic") => Interpolation::Bicubic,
        Some("bilinear") => Interpolation::Bilinear,
        Some(other) => return Err(unsupported("interpolation", other)),
    };
    // timm: resize the short side to floor(size / crop_pct), then crop the centre.
    let resize_to = (f64::from(size) / config.crop_pct.unwrap_or(0.875)).floor() as u32;
    Ok(Preprocessing {
        resize: ResizeMode::ShortSideThenCrop { resize_to },
        interpolation,
        mean: config.mean.unwrap_or(base.mean),
        std: config.std.unwrap_or(base.std),
        ..base
    })
}

fn from_preprocessor(file: &Preprocessor, size: u32) -> Result<Preprocessing, Error> {
    let base = Preprocessing::imagenet(size);
    let interpolation = match file.resample {
        // Pillow's numbers; 3 is what CLIP, DINOv2 and most ViTs say.
        Some(3) => Interpolation::Bicubic,
        Some(2) => Interpolation::Bilinear,
        Some(1) => Interpolation::Lanczos3,
        other => return Err(unsupported("resample", &format!("{other:?}"))),
    };
    let resize = match (&file.size, file.do_center_crop) {
        (Some(Size::ShortSide { shortest_edge }), Some(true)) => {
            ResizeMode::ShortSideThenCrop { resize_to: *shortest_edge }
        }
        (Some(Size::Side(side)), Some(true)) => ResizeMode::ShortSideThenCrop { resize_to: *side },
        (Some(Size::Side(_)), _) => ResizeMode::Squash,
        (Some(Size::Exact { height, width }), _) if height == width => ResizeMode::Squash,
        other => return Err(unsupported("size", &format!("{other:?}"))),
    };
    let missing = |field: &str| unsupported(field, "missing");
    Ok(Preprocessing {
        resize,
        interpolation,
        mean: file.image_mean.ok_or_else(|| missing("image_mean"))?,
        std: file.image_std.ok_or_else(|| missing("image_std"))?,
        ..base
    })
}

fn unsupported(field: &str, value: &str) -> Error {
    let reason = format!("{field} is not one of the combinations that are computed exactly");
    Error::Invalid { field: "preprocessing", value: value.into(), reason }
}

fn beside(request: &Request, name: &str) -> PathBuf {
    request.weights.with_file_name(name)
}

/// Reads a JSON file, if there is one.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let parsed = serde_json::from_slice(&bytes);
            parsed.map(Some).map_err(|source| Error::Config { path: path.into(), source })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}
