//! A backbone made ready: what every program is compiled from.

use std::path::Path;
use std::sync::Arc;

use super::{Device, Error, Program, Runtime, RuntimeOptions, WeightOptions, WeightStore};
use crate::backbone::{BackboneConfig, Precision};
use crate::graph::{Graph, Plan, banked, build, capturable, sampled, sampled_alone, spread};

/// A frozen backbone on its device: runtime, weights, description. Cheap to clone; a process may have several.
#[derive(Clone)]
pub struct Resident {
    runtime: Runtime,
    store: Arc<WeightStore>,
    config: Arc<BackboneConfig>,
}

impl Resident {
    /// Starts the runtime, reads `<folder>/config.json` and makes the weights beside it resident.
    ///
    /// # Errors
    /// As [`Runtime::open`], [`BackboneConfig::read`] and [`WeightStore::open`].
    pub fn open(folder: &Path, runtime: &RuntimeOptions, weights: WeightOptions) -> Result<Self, Error> {
        // Read first: a wrong folder is told before a library is loaded.
        let config = Arc::new(BackboneConfig::read(folder)?);
        Self::on(&Runtime::open(runtime)?, config, folder, weights)
    }

    /// As [`Resident::open`], in a runtime that was started and of a description that was read.
    ///
    /// # Errors
    /// As [`WeightStore::open`].
    pub fn on(
        runtime: &Runtime,
        config: Arc<BackboneConfig>,
        folder: &Path,
        weights: WeightOptions,
    ) -> Result<Self, Error> {
        let store = Arc::new(WeightStore::open(runtime, &config, folder, weights)?);
        Ok(Self::new(runtime.clone(), store, config))
    }

    /// Of weights that are resident already.
    pub fn new(runtime: Runtime, store: Arc<WeightStore>, config: Arc<BackboneConfig>) -> Self {
        Self { runtime, store, config }
    }

    /// The description.
    pub fn config(&self) -> &Arc<BackboneConfig> {
        &self.config
    }

    /// Numbers in which programs multiply.
    pub fn precision(&self) -> Precision {
        self.store.precision()
    }

    /// Where programs run.
    pub fn device(&self) -> Device {
        self.runtime.device()
    }

    /// Threads inside one operator.
    pub fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The weights.
    pub fn store(&self) -> &Arc<WeightStore> {
        &self.store
    }

    /// Compiles a graph over the weights, in their precision. Takes 10 to 200 ms: never on the request path.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn compile(&self, graph: &Graph) -> Result<Program, Error> {
        Program::compile(&self.runtime, &self.store, graph)
    }

    /// Compiles the program of a plan.
    ///
    /// # Errors
    /// When the plan is none of the backbone's, and as [`Resident::compile`].
    pub fn program(&self, plan: &Plan) -> Result<Program, Error> {
        self.compile(&build(&self.config, plan)?)
    }

    /// As [`Resident::program`], of images that come as samples or as pixels (see [`sampled`]), or as states behind the first
    /// block (see [`spread`]); its modules' tensors are read from banks (see [`banked`]) if `is_banked`.
    ///
    /// # Errors
    /// As [`Resident::program`].
    pub fn serving_program(&self, plan: &Plan, is_banked: bool) -> Result<Program, Error> {
        let graph = spread(&sampled(&build(&self.config, plan)?)?)?;
        match is_banked {
            true => self.compile(&banked(&graph, plan.modules)?),
            false => self.compile(&graph),
        }
    }

    /// The same for a GPU to replay (see [`Program::replayed`]), of images that come as samples and modules' tensors in banks.
    /// None where its graph cannot be captured (see [`capturable`]).
    ///
    /// # Errors
    /// As [`Resident::program`].
    pub fn replayed_program(&self, plan: &Plan) -> Result<Option<Program>, Error> {
        let graph = spread(&sampled_alone(&build(&self.config, plan)?)?)?;
        let graph = capturable(&banked(&graph, plan.modules)?)?;
        graph.map(|graph| Program::replayed(&self.runtime, &self.store, &graph)).transpose()
    }

    /// Which weights at which precision, for records that must not be mixed; in fp32 the fingerprint alone.
    pub fn identity(&self) -> String {
        match self.precision() {
            Precision::Fp32 => self.config.fingerprint.clone(),
            precision => format!("{} at {precision}", self.config.fingerprint),
        }
    }
}
