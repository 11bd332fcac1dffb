//! What every program of a training is compiled with.

use std::sync::Arc;

use anyhow::Result;

use super::features::Features;
use crate::backbone::{BackboneConfig, Precision};
use crate::graph::Graph;
use crate::image::Limits;
use crate::runtime::{Program, Runtime, WeightStore};

/// The frozen backbone on its device. Cheap to clone.
#[derive(Clone)]
pub struct Resident {
    /// The runtime.
    pub runtime: Runtime,
    /// The weights.
    pub store: Arc<WeightStore>,
    /// The description.
    pub config: Arc<BackboneConfig>,
    /// What frozen blocks gave for images of earlier trainings, where it is kept.
    pub features: Option<Arc<Features>>,
    /// What an image may cost, as for the server.
    pub limits: Limits,
}

impl From<crate::runtime::Resident> for Resident {
    fn from(backbone: crate::runtime::Resident) -> Self {
        let (runtime, store) = (backbone.runtime().clone(), Arc::clone(backbone.store()));
        let config = Arc::clone(backbone.config());
        Self { runtime, store, config, features: None, limits: Limits::default() }
    }
}

impl Resident {
    /// Which backbone at which precision, for records that must not be mixed; in fp32 the fingerprint alone.
    pub fn identity(&self) -> String {
        match self.store.precision() {
            Precision::Fp32 => self.config.fingerprint.clone(),
            precision => format!("{} at {precision}", self.config.fingerprint),
        }
    }

    /// Compiles a graph over the weights.
    ///
    /// # Errors
    /// When ONNX Runtime refuses the graph.
    pub fn compile(&self, graph: &Graph) -> Result<Program> {
        Ok(Program::compile(&self.runtime, &self.store, graph)?)
    }
}
