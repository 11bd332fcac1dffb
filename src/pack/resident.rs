//! A pack in memory, laid out as programs want it.

use std::fmt;

use ndarray::{Array1, Array2};

use super::Manifest;
use crate::backbone::{Site, SiteSet};

/// The adapter at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Where it sits.
    pub site: Site,
    /// Hidden neurons (R).
    pub width: usize,
    /// Down-projection, transposed for `x · down`.
    ///
    /// # Shapes
    /// `[D, R]`, row-major.
    pub down: Box<[f32]>,
    /// Up-projection, transposed for `z · up`.
    ///
    /// # Shapes
    /// `[R, D]`, row-major.
    pub up: Box<[f32]>,
}

/// The linear classifier on the pooled feature.
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
    /// Sites that have an adapter.
    pub sites: SiteSet,
    /// Adapters in order of computation.
    pub adapters: Vec<Adapter>,
    /// The classifier.
    pub head: Head,
    /// FLOPs of one image through the backbone and this pack's adapters, a multiply-add counting as 2.
    pub flops: u64,
    /// SHA-256 over manifest and weights: packs of the same digest give the same answers.
    pub digest: String,
}

impl Pack {
    /// The adapter at `site`, if the pack has one.
    pub fn adapter(&self, site: Site) -> Option<&Adapter> {
        self.adapters.binary_search_by_key(&site, |adapter| adapter.site).ok().map(|i| &self.adapters[i])
    }

    /// Parameters: adapters and head.
    pub fn parameters(&self) -> usize {
        let adapters = self.adapters.iter().map(|a| a.down.len() + a.up.len()).sum::<usize>();
        adapters + self.head.weight.len() + self.head.bias.len()
    }

    /// Memory the pack takes, bytes: what the cache's budget counts.
    pub fn bytes(&self) -> usize {
        let labels: usize = self.manifest.labels.iter().map(|l| l.len() + size_of::<String>()).sum();
        let adapters = self.adapters.len() * size_of::<Adapter>();
        size_of::<Self>() + self.parameters() * size_of::<f32>() + adapters + labels
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sites, classes) = (self.sites.len(), self.manifest.labels.len());
        write!(f, "Pack({sites} adapters, {classes} classes, {} parameters)", self.parameters())
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
