//! What packs are read for.

use std::sync::Arc;

use super::Error;
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::graph::{Plan, plan_flops};

/// A backbone and its FLOPs for one row without adapters, known once: reading a pack then builds no graph.
#[derive(Clone, Debug)]
pub struct Base {
    config: Arc<BackboneConfig>,
    flops: u64,
}

impl Base {
    /// Counts the backbone's FLOPs.
    ///
    /// # Errors
    /// [`Error::Field`] when the configuration contradicts itself.
    pub fn new(config: Arc<BackboneConfig>) -> Result<Self, Error> {
        let flops = plan_flops(&config, &Plan::whole(&config, ModuleSet::EMPTY), |_| 0);
        let flops =
            flops.map_err(|e| Error::field("base_model_name_or_path", &config.name, e.to_string()))?;
        Ok(Self { config, flops })
    }

    /// The backbone.
    pub fn config(&self) -> &Arc<BackboneConfig> {
        &self.config
    }

    /// FLOPs of one row without adapters; a multiply-add counts as 2.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}
