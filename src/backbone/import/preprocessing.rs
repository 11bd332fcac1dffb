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
    global_pool: Option<String>,
    pretrained_cfg: Option<PretrainedConfig>,
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

#[derive(Debug, Deserialize)]
struct PretrainedConfig {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    interpolation: Option<String>,
    input_size: Option<[usize; 3]>,
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
struct Preprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    size: Option<Size>,
    crop_size: Option<Size>,
    resample: Option<u8>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    rescale_factor: Option<f64>,
    crop_pct: Option<f64>,
    #[serde(alias = "feature_extractor_type")]
    image_processor_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    ShortSide { shortest_edge: u32 },
    Exact { height: u32, width: u32 },
}

impl Size {
    /// The side, if the size is a square's.
    fn square(&self) -> Option<u32> {
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

/// Finds the preprocessing: the request's, else the files', else the family's.
pub(super) fn find(draft: &Draft, request: &Request) -> Result<Preprocessing, Error> {
    let size = draft.architecture.shape().image_size() as u32;
    if let Some(name) = request.preprocessing {
        return Ok(named(name, size));
    }
    if let Some(file) = read_beside::<Preprocessor>(request, "preprocessor_config.json")? {
        return from_preprocessor(&file, size);
    }
    if let Some(config) = timm_config(request)?.and_then(|config| config.pretrained_cfg) {
        return from_timm(&config, size);
    }
    match draft.family {
        Family::Clip => Ok(named(PreprocessingName::Clip, size)),
        Family::Dinov2 => Ok(named(PreprocessingName::Imagenet, size)),
        // SigLIP resamples bicubic, SigLIP 2, whose tensors are the same, bilinear.
        Family::Siglip | Family::Plain => Err(Error::Invalid {
            field: "preprocessing",
            value: "unknown".into(),
            reason: "neither the weights nor the files beside them tell; give clip, imagenet, half or siglip"
                .into(),
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
        PreprocessingName::Siglip => {
            Preprocessing { resize: ResizeMode::Squash, ..named(PreprocessingName::Half, size) }
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
    let crop = config.crop_pct.unwrap_or(0.875);
    let resize = match config.crop_mode.as_deref() {
        // timm: resize the short side to floor(size / crop_pct), then crop the centre.
        None | Some("center") => {
            ResizeMode::ShortSideThenCrop { resize_to: (f64::from(size) / crop).floor() as u32 }
        }
        Some("squash") if crop == 1.0 => ResizeMode::Squash,
        Some(other) => return Err(unsupported("crop_mode", &format!("{other} with crop_pct {crop}"))),
    };
    Ok(Preprocessing {
        resize,
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
    if [file.do_resize, file.do_rescale, file.do_normalize].contains(&Some(false)) {
        return Err(unsupported("do_resize, do_rescale or do_normalize", "false"));
    }
    if let Some(factor) = file.rescale_factor.filter(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err(unsupported("rescale_factor", &factor.to_string()));
    }
    let missing = |field: &str| unsupported(field, "missing");
    Ok(Preprocessing {
        resize: resize_of(file, size)?,
        interpolation,
        mean: file.image_mean.ok_or_else(|| missing("image_mean"))?,
        std: file.image_std.ok_or_else(|| missing("image_std"))?,
        ..base
    })
}

/// How the image becomes a square of `size`; a crop keeps its share of the image when `size` is not the file's.
fn resize_of(file: &Preprocessor, size: u32) -> Result<ResizeMode, Error> {
    let of = |name: &str| file.image_processor_type.as_deref().is_some_and(|kind| kind.starts_with(name));
    if of("ConvNext") {
        return resize_of_convnext(file, size);
    }
    let of_clip = of("CLIP");
    let crop = file.crop_size.as_ref().and_then(Size::square).filter(|&side| side > 0);
    match (&file.size, file.do_center_crop, crop) {
        // A lone number is the short side to CLIP's processor, both sides to the others.
        (Some(Size::ShortSide { shortest_edge: edge }), Some(true), Some(crop)) => {
            Ok(scaled(*edge, crop, size))
        }
        (Some(Size::Side(edge)), Some(true), Some(crop)) if of_clip => Ok(scaled(*edge, crop, size)),
        // DeiT's squashes to a larger square and crops that, which is not the same as either mode here.
        (Some(square), None | Some(false), _) if square.square().is_some() => Ok(ResizeMode::Squash),
        other => Err(unsupported("size, do_center_crop and crop_size", &format!("{other:?}"))),
    }
}

/// `ConvNextImageProcessor`, which CvT has too: small images are cropped, large ones squashed.
fn resize_of_convnext(file: &Preprocessor, size: u32) -> Result<ResizeMode, Error> {
    const SQUASHED_FROM: u32 = 384;
    const CROP: f64 = 224.0 / 256.0;
    let (Some(Size::ShortSide { shortest_edge: edge } | Size::Side(edge)), None | Some(false)) =
        (&file.size, file.do_center_crop)
    else {
        return Err(unsupported(
            "size and do_center_crop",
            &format!("{:?}", (&file.size, file.do_center_crop)),
        ));
    };
    match edge {
        SQUASHED_FROM.. => Ok(ResizeMode::Squash),
        _ => {
            let resize_to = (f64::from(size) / file.crop_pct.unwrap_or(CROP)).floor() as u32;
            Ok(ResizeMode::ShortSideThenCrop { resize_to })
        }
    }
}

fn scaled(edge: u32, crop: u32, size: u32) -> ResizeMode {
    let resize_to = u64::from(size) * u64::from(edge) / u64::from(crop);
    ResizeMode::ShortSideThenCrop { resize_to: u32::try_from(resize_to).unwrap_or(u32::MAX) }
}

fn unsupported(field: &str, value: &str) -> Error {
    let reason = format!("{field} is not one of the combinations that are computed exactly");
    Error::Invalid { field: "preprocessing", value: value.into(), reason }
}

/// Side of the images that `preprocessor_config.json` makes, if there is one.
pub(super) fn told_size(request: &Request) -> Result<Option<usize>, Error> {
    let file: Option<Preprocessor> = read_beside(request, "preprocessor_config.json")?;
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
            let parsed = serde_json::from_slice(&bytes);
            parsed.map(Some).map_err(|source| Error::Config { path: path.into(), source })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}
