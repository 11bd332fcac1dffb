//! What was found in another library's files.

use std::collections::BTreeMap;
use std::path::Path;

use super::refused::{Refused, told};
use super::tensors::Tensors;
use crate::backbone::{Architecture, BackboneConfig, Module, Pool};
use crate::import::backbone::checkpoint::Tensor;
use crate::pack::Weights;

/// A pack of another library, in our forms.
pub(super) struct Extract {
    /// Whose pack it is, and of which method.
    pub(super) layout: String,
    pub(super) modules: BTreeMap<Module, Weights>,
    pub(super) head: Option<Head>,
    pub(super) labels: Option<Vec<String>>,
    /// The file of tensors, and its SHA-256.
    pub(super) file: String,
    pub(super) sha256: String,
    /// The base it names.
    pub(super) claimed_base: Option<String>,
}

/// A linear head.
pub(super) struct Head {
    /// `[C, D]`.
    pub(super) weight: Vec<f32>,
    /// `[C]`.
    pub(super) bias: Vec<f32>,
}

impl Head {
    /// Takes weight and bias; without a bias it is zero.
    ///
    /// # Errors
    /// When they do not fit each other or the backbone's feature, or are not finite.
    pub(super) fn new(
        (path, key): (&Path, &str),
        weight: Tensor,
        bias: Option<Tensor>,
        config: &BackboneConfig,
    ) -> Result<Self, Refused> {
        let refuse = |reason: String| Refused::key(path, key, reason);
        let [classes, width] = weight.matrix().map_err(refuse)?;
        let expected = config.feature_width();
        if width != expected {
            return Err(refuse(format!("the head reads {width} features, {} gives {expected}", config.name)));
        }
        let bias = bias.unwrap_or_else(|| Tensor { shape: vec![classes], data: vec![0.0; classes] });
        if bias.shape != [classes] {
            return Err(refuse(format!("{classes} classes, but the bias has shape {:?}", bias.shape)));
        }
        match weight.data.iter().chain(&bias.data).find(|value| !value.is_finite()) {
            Some(value) => Err(refuse(format!("holds {value}"))),
            None => Ok(Self { weight: weight.data, bias: bias.data }),
        }
    }
}

/// The name that a file claims for its base.
pub(super) fn claimed(base: &serde_json::Value) -> Option<String> {
    base.as_str().map(told)
}

/// Heads of transformers' ViT classes read the normed class token.
///
/// # Errors
/// A sentence, where the backbone's feature is another.
pub(super) fn reads_class_token(config: &BackboneConfig) -> Result<(), String> {
    match &config.architecture {
        Architecture::Vit(vit) if vit.pool != Pool::Cls => Err(format!(
            "the head reads the class token, but the feature of {} is pooled otherwise ({:?}); give another with --head",
            config.name, vit.pool
        )),
        _ => Ok(()),
    }
}

/// Refuses what nobody took.
pub(super) fn all_taken(tensors: &Tensors, why: impl Fn(&str) -> String) -> Result<(), Refused> {
    match tensors.tensors.keys().next() {
        Some(key) => Err(tensors.refuse(key, why(key))),
        None => Ok(()),
    }
}
