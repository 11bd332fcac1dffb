//! What packs are read for.

use std::sync::Arc;

use super::{Error, Expand};
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::graph::{Plan, plan_flops};

/// Most bytes of the served tensors that one pack is expanded to; no pack's file may be larger either.
pub(super) const MAX_SERVED_BYTES: u64 = 512 << 20;

/// A backbone and its FLOPs for one row without adapters, known once: reading a pack, unless it has prompts, then builds no graph. With it goes
/// what expands packs that keep smaller tensors than they serve.
#[derive(Clone, Debug)]
pub struct Base {
    config: Arc<BackboneConfig>,
    flops: u64,
    expand: Option<Arc<dyn Expand>>,
    most: u64,
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
        Ok(Self { config, flops, expand: None, most: MAX_SERVED_BYTES })
    }

    /// With what makes served tensors.
    pub fn expanded_by(self, expand: Arc<dyn Expand>) -> Self {
        Self { expand: Some(expand), ..self }
    }

    /// With another bound of the bytes that one pack is expanded to.
    pub fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// What makes served tensors, where there is something.
    pub(super) fn expand(&self) -> Option<&dyn Expand> {
        self.expand.as_deref()
    }

    /// Most bytes of the served tensors that one pack is expanded to.
    pub(super) fn most(&self) -> u64 {
        self.most
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
