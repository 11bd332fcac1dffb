//! A pack in memory, laid out as programs want it.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array1, Array2};

use super::{Manifest, Weights};
use crate::backbone::{Form, Module, ModuleSet};

/// The linear classifier on the pooled feature, or on those of several depths.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `[C, D]`.
    pub weight: Array2<f32>,
    /// `[C]`.
    pub bias: Array1<f32>,
}

impl Head {
    /// Logits of one pooled feature.
    ///
    /// # Shapes
    /// `[D]` to `[C]`.
    pub fn logits(&self, feature: ndarray::ArrayView1<'_, f32>) -> Array1<f32> {
        self.weight.dot(&feature) + &self.bias
    }
}

/// A task's weights, ready to serve. Shared by `Arc`; a request holds one from door to answer.
pub struct Pack {
    /// The manifest.
    pub manifest: Manifest,
    /// The modules it has, as a plan's key.
    pub modules: ModuleSet,
    /// Their tensors.
    pub weights: BTreeMap<Module, Weights>,
    /// The classifier.
    pub head: Head,
    /// FLOPs of one image through the backbone and this pack's modules, a multiply-add counting as 2.
    pub flops: u64,
    /// SHA-256 over manifest and weights: packs of the same digest give the same answers.
    pub digest: String,
}

impl Pack {
    /// Parameters of the modules, without the head.
    pub fn module_parameters(&self) -> usize {
        self.weights.values().map(Weights::parameters).sum()
    }

    /// Parameters: modules and head.
    pub fn parameters(&self) -> usize {
        self.module_parameters() + self.head.weight.len() + self.head.bias.len()
    }

    /// How many tokens stand before those of the image.
    pub fn prompts(&self) -> usize {
        let prompts = self.weights.iter().filter(|(module, _)| module.form == Form::Prompts);
        prompts.map(|(_, weights)| weights.width).sum()
    }

    /// Memory the pack takes, bytes: what the cache's budget counts.
    pub fn bytes(&self) -> usize {
        let labels: usize = self.manifest.labels.iter().map(|l| l.len() + size_of::<String>()).sum();
        let modules = self.weights.len() * size_of::<(Module, Weights)>();
        size_of::<Self>() + self.parameters() * size_of::<f32>() + modules + labels
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (modules, classes) = (self.weights.len(), self.manifest.labels.len());
        write!(f, "Pack({modules} modules, {classes} classes, {} parameters)", self.parameters())
    }
}

/// Stored inputs and the logits they must give.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfTest {
    /// Encoded images.
    pub images: Vec<Vec<u8>>,
    /// Logits for each image, `[C]` each.
    pub logits: Vec<Vec<f32>>,
}
