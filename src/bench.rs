//! What this machine does with a backbone: the bare program, batches through the engine, memory.
//!
//! Figures from a shared machine are noisy, so what is compared is interleaved in one run and given as medians.

mod fork;
mod layout;
mod precisions;
mod recording;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backbone::{BackboneConfig, SiteSet};
use crate::engine::{Engine, EngineOptions, Parts};
use crate::graph::{PIXELS, Plan, build, down_input, plan_flops, up_input};
use crate::metrics::Metrics;
use crate::pack::{Adapter, Head, Manifest, Pack, Provenance, SelfTestInfo};
use crate::runtime::{Input, Program, Runtime, WeightStore};

pub use fork::{Known, Shared};
pub use layout::{Goal, Layout, choose};
pub use precisions::{Bare, interleaved};
pub use recording::recording;

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
    runtime: Runtime,
    store: Arc<WeightStore>,
    config: Arc<BackboneConfig>,
    options: Options,
}

impl Bench {
    /// Puts the parts together.
    pub fn new(
        runtime: Runtime,
        store: Arc<WeightStore>,
        config: Arc<BackboneConfig>,
        options: Options,
    ) -> Self {
        Self { runtime, store, config, options }
    }

    /// Times batches, each round one of each kind.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn times(&self) -> Result<Times> {
        let engine = self.engine(self.options.batch, (1, 0))?;
        let packs = (0..self.options.batch).map(|i| self.pack(i as u64)).collect::<Result<Vec<_>>>()?;
        let same = vec![Arc::clone(&packs[0]); packs.len()];
        let mut program = self.program(&Plan::whole(&self.config, self.config.all_sites()))?;
        let mut kinds: [Vec<f64>; 5] = Default::default();
        // The first round warms up and is not counted.
        for round in 0..=self.options.rounds {
            let times = [
                seconds(|| self.program(&Plan::whole(&self.config, self.config.all_sites())).map(drop))?,
                seconds(|| self.run_bare(&mut program, &packs[0], 1))?,
                seconds(|| self.run_bare(&mut program, &packs[0], self.options.batch))?,
                seconds(|| self.run_engine(&engine, &same))?,
                seconds(|| self.run_engine(&engine, &packs))?,
            ];
            if round > 0 {
                kinds.iter_mut().zip(times).for_each(|(kind, time)| kind.push(time));
            }
        }
        let [program, bare_one, bare_batch, identical, distinct] = kinds.map(median);
        Ok(Times { program, bare_one, bare_batch, identical, distinct })
    }

    /// Memory with one program and with `count`, after each has run: proportional set size, bytes.
    ///
    /// # Errors
    /// When a program cannot be compiled or run, or the system does not tell.
    pub fn memory(&self, count: usize) -> Result<(u64, u64)> {
        let pack = self.pack(0)?;
        let sites = self.config.sites();
        let mut programs = Vec::new();
        let mut first = 0;
        for i in 0..count {
            // Each program leaves out other sites, as packs of different tasks do.
            let plan = Plan::whole(&self.config, sites[i..].iter().copied().collect());
            let mut program = self.program(&plan)?;
            self.run_bare_sites(&mut program, &pack, (1, i))?;
            programs.push(program);
            if i == 0 {
                first = pss()?;
            }
        }
        Ok((first, pss()?))
    }

    /// Bytes that `count` packs take by their own count, and by the process's growth.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn pack_memory(&self, count: usize) -> Result<(u64, u64)> {
        let before = pss()?;
        let packs = (0..count).map(|i| self.pack(i as u64)).collect::<Result<Vec<_>>>()?;
        let counted = packs.iter().map(|pack| pack.bytes() as u64).sum();
        Ok((counted, pss()?.saturating_sub(before)))
    }

    /// An engine that takes batches of `rows`.
    fn engine(&self, rows: usize, (max_programs, prefix_memory): (usize, u64)) -> Result<Engine> {
        let parts = Parts {
            runtime: self.runtime.clone(),
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            metrics: Arc::new(Metrics::new()?),
        };
        let options = EngineOptions {
            max_batch: rows,
            max_wait: Duration::from_secs(1),
            queue_limit: rows,
            workers: 1,
            max_programs,
            prefix_memory,
        };
        Ok(Engine::start(parts, &options)?)
    }

    fn program(&self, plan: &Plan) -> Result<Program> {
        Ok(Program::compile(&self.runtime, &self.store, &build(&self.config, plan)?)?)
    }

    /// One batch, admitted together so that it runs together.
    fn run_engine(&self, engine: &Engine, packs: &[Arc<Pack>]) -> Result<()> {
        let pixels: Arc<[f32]> = self.pixels(1).into();
        fork::ask(engine, (&vec![pixels; packs.len()], None), packs)
    }

    fn run_bare(&self, program: &mut Program, pack: &Pack, rows: usize) -> Result<()> {
        self.run_bare_sites(program, pack, (rows, 0))
    }

    /// Runs a program that has the sites from the `first` one on.
    fn run_bare_sites(
        &self,
        program: &mut Program,
        pack: &Pack,
        (rows, first): (usize, usize),
    ) -> Result<()> {
        let pixels = self.pixels(rows);
        let shape = [vec![rows], self.config.input_shape(0)].concat();
        let mut tensors = Vec::new();
        for adapter in &pack.adapters[first..] {
            let d = self.config.block_width(adapter.site.block);
            tensors.push((down_input(adapter.site), vec![d, adapter.width], &adapter.down));
            tensors.push((up_input(adapter.site), vec![adapter.width, d], &adapter.up));
        }
        let mut inputs = vec![Input { name: PIXELS, shape: &shape, data: &pixels }];
        inputs.extend(tensors.iter().map(|(name, shape, data)| Input { name, shape, data }));
        program.run(&inputs)?;
        Ok(())
    }

    fn pixels(&self, rows: usize) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(rows as u64);
        let count = rows * self.config.input_shape(0).iter().product::<usize>();
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    /// A pack with an adapter at every site.
    fn pack(&self, seed: u64) -> Result<Arc<Pack>> {
        self.pack_at(seed, self.config.all_sites())
    }

    /// A pack with adapters at `sites`.
    fn pack_at(&self, seed: u64, sites: SiteSet) -> Result<Arc<Pack>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut floats =
            |count: usize| -> Box<[f32]> { (0..count).map(|_| random.random_range(-0.01..0.01)).collect() };
        let width = self.options.width;
        let adapters: Vec<Adapter> = sites
            .iter()
            .map(|site| {
                let d = self.config.block_width(site.block);
                Adapter { site, width, down: floats(d * width), up: floats(width * d) }
            })
            .collect();
        let d = self.config.feature_width();
        let head = Head {
            weight: Array2::from_shape_vec((CLASSES, d), floats(CLASSES * d).into_vec())?,
            bias: Array1::zeros(CLASSES),
        };
        let flops = plan_flops(&self.config, &Plan::whole(&self.config, sites), |_| width)?;
        Ok(Arc::new(Pack {
            manifest: self.manifest(sites),
            sites,
            adapters,
            head,
            flops,
            digest: String::new(),
        }))
    }

    fn manifest(&self, sites: SiteSet) -> Manifest {
        let widths = sites.iter().map(|site| (site.to_string(), self.options.width));
        Manifest {
            format_version: crate::pack::FORMAT_VERSION,
            peft_type: crate::pack::PEFT_TYPE.into(),
            base_model_name_or_path: self.config.name.clone(),
            base_model_sha256: self.config.fingerprint.clone(),
            activation: self.config.activation(),
            adapter_widths: widths.collect(),
            leave_out: Vec::new(),
            labels: (0..CLASSES).map(|class| class.to_string()).collect(),
            preprocessing: self.config.preprocessing.clone(),
            precision: self.store.precision(),
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

/// Proportional set size of this process, bytes (Linux).
fn pss() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").context("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
