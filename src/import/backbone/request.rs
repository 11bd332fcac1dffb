//! What to import.

use std::path::PathBuf;

use crate::backbone::{Activation, CvtConfig, Pool};

/// What to import, and what the checkpoint does not tell.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A file of safetensors, of `torch.save` or ONNX, whatever it is called, or the index of several.
    /// `config.json` and `preprocessor_config.json` beside it are read too.
    pub weights: PathBuf,
    /// Which dictionary of the file, and which part of the model in it, where timm's order is not meant.
    pub key: Option<String>,
    /// Name of the backbone.
    pub name: String,
    /// Folder of backbones; the result is `<out>/<name>`.
    pub out: PathBuf,
    /// Side of the input, pixels. If it differs from the checkpoint's, the positions are resampled.
    pub image_size: Option<usize>,
    /// Attention heads, where neither `config.json` nor a width of 64 a head tells.
    pub heads: Option<usize>,
    /// Non-linearity, where the family leaves it open.
    pub activation: Option<Activation>,
    /// Pooling, where it is not the family's own.
    pub pool: Option<Pool>,
    /// Layer norm's epsilon, where it is not the family's own.
    pub layer_norm_eps: Option<f32>,
    /// Preprocessing, where neither the files nor the family tell.
    pub preprocessing: Option<PreprocessingName>,
    /// A CvT's shape where it is known already, whatever lies beside the file: no single number tells it.
    pub cvt: Option<CvtConfig>,
    /// Whether an existing backbone of that name is replaced.
    pub overwrite: bool,
}

/// Preprocessing by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreprocessingName {
    /// Short side to S bicubic, centre crop, CLIP's mean and deviation.
    Clip,
    /// Short side to 8/7 S bicubic, centre crop, ImageNet's mean and deviation.
    Imagenet,
    /// As `Imagenet`, with mean and deviation 0.5 (ViT of the "augreg" and IN-21k families).
    Half,
    /// Both sides to S bicubic, whatever the image's form, mean and deviation 0.5.
    Siglip,
}
