//! The backbone itself as a pack.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::write::manifest;
use super::{Base, Contents, Decision, Head, Pack, Provenance, SelfTest};
use crate::backbone::{ModuleSet, Precision};

impl Pack {
    /// No modules and no outputs: rows under it are for the feature of the frozen backbone.
    pub fn bare(base: &Base, precision: Precision) -> Self {
        let config = base.config();
        let contents = Contents {
            weights: BTreeMap::new(),
            factored: None,
            small: Default::default(),
            depths: Vec::new(),
            head_weight: Vec::new(),
            head_bias: Vec::new(),
            labels: Vec::new(),
            decision: Decision::default(),
            preprocessing: config.preprocessing.clone(),
            precision,
            self_test: SelfTest::default(),
            tolerance: 0.0,
            provenance: Provenance::default(),
        };
        let head = Head { weight: Array2::zeros((0, config.feature_width())), bias: Array1::zeros(0) };
        Self {
            manifest: manifest(&contents, config, String::new()),
            modules: ModuleSet::EMPTY,
            weights: BTreeMap::new(),
            head,
            flops: base.flops(),
            digest: String::new(),
        }
    }
}
