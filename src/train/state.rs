//! Where a training of adapters stands.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::init::uniform;
use super::model::{Adapter, Model, Parameter};
use super::options::{MimiOptions, Widths};
use super::progress::{Cycle, Epoch};
use crate::backbone::{BackboneConfig, BlockRange, Site, SiteSet};

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Trainings ended.
    pub cycle: usize,
    /// Epochs of the running training ended.
    pub epoch: usize,
    /// What is trained.
    pub model: Model,
    /// The last model that held the accuracy, where that is the target.
    pub held: Option<Model>,
    /// Widths before the first pruning.
    pub original: BTreeMap<Site, usize>,
    /// Epochs so far.
    pub epochs: Vec<Epoch>,
    /// Trainings so far.
    pub cycles: Vec<Cycle>,
    /// Whether nothing is left to do.
    pub finished: bool,
}

impl State {
    /// Fresh adapters of mean rate σ₀, each at least 1 wide, at both sites of every block from the first on, and a fresh
    /// head as `torch.nn.Linear` begins.
    pub fn new(config: &BackboneConfig, classes: usize, options: &MimiOptions) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let blocks = BlockRange { start: options.first_block, end: config.depth() };
        let mut adapters = BTreeMap::new();
        for (site, r) in widths(config, blocks, options) {
            let d = config.block_width(site.block);
            let down = Parameter::new(vec![d, r], options.init.down(&mut random, d * r, d));
            let up = Parameter::new(vec![r, d], options.init.up(&mut random, r * d, r));
            adapters.insert(site, Adapter { down, up });
        }
        let width = config.feature_width();
        let weight = uniform(&mut random, width * classes, width);
        let head_weight = Parameter::new(vec![width, classes], weight);
        let head_bias = Parameter::new(vec![classes], uniform(&mut random, classes, width));
        let model = Model { adapters, head_weight, head_bias };
        let original = model.widths();
        let (epochs, cycles) = (Vec::new(), Vec::new());
        Self { cycle: 0, epoch: 0, model, held: None, original, epochs, cycles, finished: false }
    }

    /// `Σ M / Σ N` over the sites there were at first; infinite without a neuron.
    pub fn sigma(&self, config: &BackboneConfig) -> f64 {
        let widths: usize = self.original.keys().map(|site| config.block_width(site.block)).sum();
        widths as f64 / self.model.neurons() as f64
    }
}

/// Width of each adapter at first.
fn widths(config: &BackboneConfig, blocks: BlockRange, options: &MimiOptions) -> Vec<(Site, usize)> {
    let sites: Vec<Site> = SiteSet::all(blocks).iter().collect();
    let width = |site: &Site| config.block_width(site.block) as f64;
    let mean = sites.iter().map(width).sum::<f64>() / sites.len() as f64;
    let of = |site| match options.widths {
        Widths::Proportional => width(site),
        Widths::Uniform => mean,
    };
    sites.iter().map(|site| (*site, ((of(site) / options.sigma) as usize).max(1))).collect()
}
