//! What this machine does with a backbone: the bare program, batches through the engine, memory.
//!
//! Figures from a shared machine are noisy, so what is compared is interleaved in one run and given as medians.

mod ask;
mod feed;
mod flood;
mod fork;
mod layout;
mod memory;
mod metrics_cost;
mod parity;
mod precisions;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::engine::{Engine, EngineOptions, bank_bytes};
use crate::graph::{Plan, plan_flops};
use crate::metrics::Metrics;
use crate::pack::{Head, Manifest, Pack, Provenance, SelfTestInfo, Weights};
use crate::runtime::{Program, Resident};

pub use flood::{Harm, Parted};
pub use fork::{Known, Shared};
pub use layout::{Goal, Layout, choose};
pub use memory::memory_used;
pub use metrics_cost::{metrics_cost, scrape_cost};
pub use parity::{Parity, parity};
pub use precisions::{Bare, Nearness, interleaved, nearness};
pub use sweep::{Grid, Swept};

/// Classes of the made-up packs.
const CLASSES: usize = 10;

/// What to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rows in a batch.
    pub batch: usize,
    /// Adapter width at every site.
    pub width: usize,
    /// Rounds; medians are over these.
    pub rounds: usize,
    /// Whether outputs of shared blocks stay on the device.
    pub states_stay: bool,
    /// Most rows of a batch that a GPU replays as a CUDA graph.
    pub cuda_graphs: usize,
}

/// Seconds of each kind of batch, medians of interleaved rounds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Making another program over weights that are resident, from the plan on.
    pub program: f64,
    /// The bare program, one row.
    pub bare_one: f64,
    /// The bare program, a batch under one pack.
    pub bare_batch: f64,
    /// The engine, a batch under one pack.
    pub identical: f64,
    /// The engine, a batch of as many packs as rows.
    pub distinct: f64,
}

/// Everything a measurement runs on.
pub struct Bench {
    resident: Resident,
    options: Options,
}

impl Bench {
    /// Measures a backbone with such options.
    pub fn new(resident: Resident, options: Options) -> Self {
        Self { resident, options }
    }

    fn config(&self) -> &BackboneConfig {
        self.resident.config()
    }

    /// Times batches, each round one of each kind.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn times(&self) -> Result<Times> {
        let engine = self.engine(self.options.batch, (1, 0))?;
        let packs = (0..self.options.batch).map(|i| self.pack(i as u64)).collect::<Result<Vec<_>>>()?;
        let same = vec![Arc::clone(&packs[0]); packs.len()];
        let images = self.images(packs.len());
        let all = self.config().adapters();
        let mut program = self.program(&Plan::whole(self.config(), all))?;
        let feed = |rows| self.on_device(&packs[..1], rows, all);
        let (one, batch) = (feed(1)?, feed(self.options.batch)?);
        let mut kinds: [Vec<f64>; 5] = Default::default();
        // The first round warms up and is not counted.
        for round in 0..=self.options.rounds {
            let times = [
                seconds(|| self.program(&Plan::whole(self.config(), all)).map(drop))?,
                seconds(|| one.run(&mut program).map(drop))?,
                seconds(|| batch.run(&mut program).map(drop))?,
                seconds(|| ask::ask(&engine, (&images[..], None), &same))?,
                seconds(|| ask::ask(&engine, (&images[..], None), &packs))?,
            ];
            if round > 0 {
                kinds.iter_mut().zip(times).for_each(|(kind, time)| kind.push(time));
            }
        }
        let [program, bare_one, bare_batch, identical, distinct] = kinds.map(median);
        Ok(Times { program, bare_one, bare_batch, identical, distinct })
    }

    /// An engine that takes batches of `rows`.
    fn engine(&self, rows: usize, (max_programs, prefix_memory): (usize, u64)) -> Result<Engine> {
        let states_memory = self.options.states_stay.then_some(prefix_memory);
        self.start(EngineOptions { max_programs, prefix_memory, states_memory, ..self.one_batch(rows) })
    }

    /// An engine for one batch of `rows` at a time.
    fn one_batch(&self, rows: usize) -> EngineOptions {
        EngineOptions {
            max_batch: rows,
            max_wait: Duration::from_secs(1),
            queue_limit: rows,
            bank_memory: bank_bytes(self.resident.device()),
            states_memory: self.options.states_stay.then_some(0),
            replayed_rows: self.options.cuda_graphs,
            ..EngineOptions::default()
        }
    }

    fn start(&self, options: EngineOptions) -> Result<Engine> {
        Ok(Engine::start(self.resident.clone(), Arc::new(Metrics::new()?), &options)?)
    }

    fn program(&self, plan: &Plan) -> Result<Program> {
        Ok(self.resident.program(plan)?)
    }

    /// Pixels of so many images, no two of which are the same.
    fn images(&self, count: usize) -> Vec<Arc<[f32]>> {
        let size: usize = self.config().input_shape(0).iter().product();
        self.pixels(count).chunks(size).map(Arc::from).collect()
    }

    fn pixels(&self, rows: usize) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(rows as u64);
        let count = rows * self.config().input_shape(0).iter().product::<usize>();
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    /// A pack with an adapter at every site.
    fn pack(&self, seed: u64) -> Result<Arc<Pack>> {
        self.pack_at(seed, self.config().adapters())
    }

    /// A pack with `modules`.
    fn pack_at(&self, seed: u64, modules: ModuleSet) -> Result<Arc<Pack>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut floats =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-0.01..0.01)).collect() };
        let width = self.options.width;
        let part = |module: Module, part: Part| {
            let shape = self.config().part_shape(module, part, width).unwrap_or_default();
            (part, shape.iter().product::<usize>())
        };
        let mut weights = BTreeMap::new();
        for module in modules.iter() {
            let parts = module.form.parts().iter().map(|&own| part(module, own));
            let parts: Vec<_> = parts.map(|(part, count)| (part, floats(count))).collect();
            weights.insert(module, Weights::new(width, parts));
        }
        let d = self.config().feature_width();
        let head = Head {
            weight: Array2::from_shape_vec((CLASSES, d), floats(CLASSES * d))?,
            bias: Array1::zeros(CLASSES),
        };
        let flops = plan_flops(self.config(), &Plan::whole(self.config(), modules), |_| width)?;
        Ok(Arc::new(Pack {
            manifest: self.manifest(modules),
            modules,
            weights,
            head,
            flops,
            digest: String::new(),
        }))
    }

    fn manifest(&self, modules: ModuleSet) -> Manifest {
        let widths = modules.iter().map(|module| (module.site.to_string(), self.options.width));
        Manifest {
            format_version: crate::pack::FORMAT_VERSION,
            peft_type: crate::pack::PEFT_TYPE.into(),
            base_model_name_or_path: self.config().name.clone(),
            base_model_sha256: self.config().fingerprint.clone(),
            activation: self.config().activation(),
            adapter_widths: widths.collect(),
            leave_out: Vec::new(),
            modules: BTreeMap::new(),
            factorised: None,
            stored_bits: Default::default(),
            depths: Vec::new(),
            labels: (0..CLASSES).map(|class| class.to_string()).collect(),
            problem_type: Default::default(),
            thresholds: None,
            abstain_below: None,
            preprocessing: self.config().preprocessing.clone(),
            precision: self.resident.precision(),
            image_decoder: crate::image::DECODER_VERSION,
            weights_sha256: String::new(),
            self_test: SelfTestInfo::default(),
            provenance: Provenance::default(),
        }
    }
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
