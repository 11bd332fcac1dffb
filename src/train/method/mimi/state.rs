//! Where a training of adapters stands.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::options::MimiOptions;
use crate::adaptation::Drawn;
use crate::adaptation::random::uniform;
use crate::backbone::{BackboneConfig, Module};
use crate::graph::ParameterName;
use crate::train::history::{History, Place};
use crate::train::model::Model;
use crate::train::parameters::{Parameter, Parameters};

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
    pub original: BTreeMap<Module, usize>,
    /// What was measured so far.
    pub history: History,
    /// Whether nothing is left to do.
    pub finished: bool,
}

impl State {
    /// Fresh modules of every block from the first on, and a fresh head as `torch.nn.Linear` begins.
    pub fn new(config: &BackboneConfig, classes: usize, options: &MimiOptions) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let (kind, original) = (options.kind(config), options.first_widths(config));
        let mut parameters = Parameters::default();
        for (&module, &width) in &kind.widths {
            for part in options.adaptation.trained(module) {
                let shape = config.part_shape(module, part, width).unwrap_or_default();
                let (count, fan_in) = (shape.iter().product(), shape.first().copied().unwrap_or(1));
                let mut draw = Drawn { config, random: &mut random, count, fan_in, init: options.init };
                let values = options.adaptation.begin(part, &mut draw);
                parameters.insert(ParameterName::Module(module, part), Parameter::new(shape, values));
            }
        }
        for factor in kind.on(config).factors() {
            let values = factor.first.draw(&mut random, factor.shape.iter().product());
            parameters.insert(factor.name, Parameter::new(factor.shape, values));
        }
        let width = config.feature_width();
        let weight = uniform(&mut random, width * classes, width);
        parameters.insert(ParameterName::HeadWeight, Parameter::new(vec![width, classes], weight));
        let bias = uniform(&mut random, classes, width);
        parameters.insert(ParameterName::HeadBias, Parameter::new(vec![classes], bias));
        Self {
            place: Place::default(),
            model: Model { parameters, made: kind.made(), stored: None },
            held: None,
            original,
            history: History::default(),
            finished: false,
        }
    }

    /// `Σ M / Σ N` over the sites there were at first; infinite without a neuron.
    pub fn sigma(&self, config: &BackboneConfig) -> f64 {
        let widths: usize = self.original.keys().map(|module| config.block_width(module.site.block)).sum();
        match self.model.neurons() {
            0 => f64::INFINITY,
            neurons => widths as f64 / neurons as f64,
        }
    }
}
