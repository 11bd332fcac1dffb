//! From tokens to one feature.

use serde::{Deserialize, Serialize};

/// How tokens become one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The class token after the final norm.
    Cls,
    /// The mean of the patch tokens after the final norm.
    Mean,
    /// The mean of the patch tokens, then the norm (timm's `fc_norm`).
    MeanThenNorm,
    /// The mean of class and distillation token after the final norm: a distilled DeiT's, whose two classifiers
    /// are averaged.
    ClassAndDistillation,
    /// What one learned query attends to after the final norm, and an MLP on it: SigLIP's.
    Attention,
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::MeanThenNorm => "mean_then_norm",
            Self::ClassAndDistillation => "class_and_distillation",
            Self::Attention => "attention",
        })
    }
}
