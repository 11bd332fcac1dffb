//! Where a training of adapters stands.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::options::{MimiOptions, Widths};
use crate::backbone::{BackboneConfig, BlockRange, Site, SiteSet};
use crate::graph::ParameterName;
use crate::train::history::{History, Place};
use crate::train::model::Model;
use crate::train::parameters::{Parameter, Parameters};
use crate::train::random::uniform;

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Trainings and epochs ended.
    pub place: Place,
    /// What is trained.
    pub model: Model,
    /// The last model that held the accuracy, where that is the target.
    pub held: Option<Model>,
    /// Widths before the first pruning.
    pub original: BTreeMap<Site, usize>,
    /// What was measured so far.
    pub history: History,
    /// Whether nothing is left to do.
    pub finished: bool,
}

impl State {
    /// Fresh adapters of mean rate σ₀ at both sites of every block from the first on, and a fresh head as
    /// `torch.nn.Linear` begins.
    pub fn new(config: &BackboneConfig, classes: usize, options: &MimiOptions) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let original = first_widths(config, options);
        let mut parameters = Parameters::default();
        for (&site, &r) in &original {
            let d = config.block_width(site.block);
            let down = Parameter::new(vec![d, r], options.init.down(&mut random, d * r, d));
            let up = Parameter::new(vec![r, d], options.init.up(&mut random, r * d, r));
            parameters.insert(ParameterName::down(site), down);
            parameters.insert(ParameterName::up(site), up);
        }
        let width = config.feature_width();
        let weight = uniform(&mut random, width * classes, width);
        parameters.insert(ParameterName::HeadWeight, Parameter::new(vec![width, classes], weight));
        let bias = uniform(&mut random, classes, width);
        parameters.insert(ParameterName::HeadBias, Parameter::new(vec![classes], bias));
        Self {
            place: Place::default(),
            model: Model { parameters },
            held: None,
            original,
            history: History::default(),
            finished: false,
        }
    }

    /// `Σ M / Σ N` over the sites there were at first; infinite without a neuron.
    pub fn sigma(&self, config: &BackboneConfig) -> f64 {
        let widths: usize = self.original.keys().map(|site| config.block_width(site.block)).sum();
        widths as f64 / self.model.neurons() as f64
    }
}

/// Width of each adapter at first, at least 1.
pub fn first_widths(config: &BackboneConfig, options: &MimiOptions) -> BTreeMap<Site, usize> {
    let blocks = BlockRange { start: options.first_block, end: config.depth() };
    let sites: Vec<Site> = SiteSet::all(blocks).iter().collect();
    let width = |site: &Site| config.block_width(site.block) as f64;
    let mean = sites.iter().map(width).sum::<f64>() / sites.len() as f64;
    let of = |site| match options.widths {
        Widths::Proportional => width(site),
        Widths::Uniform => mean,
    };
    sites.iter().map(|site| (*site, ((of(site) / options.sigma) as usize).max(1))).collect()
}

/// Parameters of fresh adapters and a head.
pub fn first_parameters(config: &BackboneConfig, classes: usize, widths: &BTreeMap<Site, usize>) -> usize {
    let adapters = widths.iter().map(|(site, r)| 2 * r * config.block_width(site.block)).sum::<usize>();
    adapters + classes * (config.feature_width() + 1)
}
