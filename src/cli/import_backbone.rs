//! What was typed after `import-backbone`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mimi_server::backbone::{Activation, Pool};
use mimi_server::import::backbone::PreprocessingName;

/// Options of `import-backbone`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The checkpoint: safetensors or their index, torch.save's (nothing in it is executed) or ONNX; its content decides, not its name. config.json and preprocessor_config.json beside it are read too.
    #[arg(long, env = "MIMI_WEIGHTS", value_name = "FILE")]
    pub weights: PathBuf,
    /// Which dictionary of the file, and which part of the model in it, dotted: state_dict, teacher, model.student.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Name of the backbone: packs refer to it.
    #[arg(long)]
    pub name: String,
    /// Folder of backbones.
    #[arg(long, env = "MIMI_MODELS", default_value = "models", value_name = "DIR")]
    pub models: PathBuf,
    /// Side of the input, pixels; another than the checkpoint's resamples the positions.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Attention heads, where no file tells.
    #[arg(long)]
    pub heads: Option<usize>,
    /// Non-linearity, where no file tells and the family leaves it open.
    #[arg(long)]
    pub activation: Option<ActivationArg>,
    /// Pooling, where it is not the family's own.
    #[arg(long)]
    pub pool: Option<PoolArg>,
    /// Epsilon of the layer norms, where no file tells and it is not the family's own.
    #[arg(long)]
    pub layer_norm_eps: Option<f32>,
    /// Preprocessing, where neither the files nor the family tell.
    #[arg(long)]
    pub preprocessing: Option<PreprocessingArg>,
    /// Replace an existing backbone of that name.
    #[arg(long)]
    pub overwrite: bool,
}

/// Non-linearities by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ActivationArg {
    /// Exact GELU.
    Gelu,
    /// CLIP's QuickGELU.
    QuickGelu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

impl From<ActivationArg> for Activation {
    fn from(arg: ActivationArg) -> Self {
        match arg {
            ActivationArg::Gelu => Self::Gelu,
            ActivationArg::QuickGelu => Self::QuickGelu,
            ActivationArg::GeluTanh => Self::GeluTanh,
        }
    }
}

/// Poolings by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum PoolArg {
    /// The class token.
    Cls,
    /// The mean of the patches, after the norm.
    Mean,
    /// The mean of the patches, then the norm.
    MeanThenNorm,
    /// The mean of class and distillation token (distilled DeiT).
    ClassAndDistillation,
    /// A learned query's attention and an MLP (SigLIP).
    Attention,
}

impl From<PoolArg> for Pool {
    fn from(arg: PoolArg) -> Self {
        match arg {
            PoolArg::Cls => Self::Cls,
            PoolArg::Mean => Self::Mean,
            PoolArg::MeanThenNorm => Self::MeanThenNorm,
            PoolArg::ClassAndDistillation => Self::ClassAndDistillation,
            PoolArg::Attention => Self::Attention,
        }
    }
}

/// Preprocessings by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PreprocessingArg {
    /// CLIP's mean and deviation, short side to the input's.
    Clip,
    /// ImageNet's mean and deviation, short side to 8/7 of the input's.
    Imagenet,
    /// Mean and deviation 0.5, short side to 8/7 of the input's.
    Half,
    /// Mean and deviation 0.5, both sides to the input's.
    Siglip,
}

impl From<PreprocessingArg> for PreprocessingName {
    fn from(arg: PreprocessingArg) -> Self {
        match arg {
            PreprocessingArg::Clip => Self::Clip,
            PreprocessingArg::Imagenet => Self::Imagenet,
            PreprocessingArg::Half => Self::Half,
            PreprocessingArg::Siglip => Self::Siglip,
        }
    }
}
