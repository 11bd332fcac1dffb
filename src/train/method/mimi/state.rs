//! Where a training of adapters stands.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::options::{MimiOptions, Target};
use super::prune::survivors;
use crate::adaptation::random::uniform;
use crate::adaptation::{Drawn, Kind};
use crate::backbone::{BackboneConfig, Module};
use crate::graph::ParameterName;
use crate::train::history::{History, Place};
use crate::train::model::Model;
use crate::train::optim::mask::Masks;
use crate::train::parameters::{Parameter, Parameters};

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Trainings and epochs ended.
    pub place: Place,
    /// What is trained.
    pub model: Model,
    /// Weights that are held at zero.
    pub masks: Masks,
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
        if options.gates().is_some() {
            parameters.extend(open_gates(&kind));
        }
        let width = config.feature_width();
        let weight = uniform(&mut random, width * classes, width);
        parameters.insert(ParameterName::HeadWeight, Parameter::new(vec![width, classes], weight));
        let bias = uniform(&mut random, classes, width);
        parameters.insert(ParameterName::HeadBias, Parameter::new(vec![classes], bias));
        Self {
            place: Place::default(),
            model: Model { parameters, made: kind.made(), ..Model::default() },
            masks: Masks::default(),
            held: None,
            original,
            history: History::default(),
            finished: false,
        }
    }

    /// Elements of the modules, but those held at zero.
    pub fn module_parameters(&self) -> usize {
        self.model.module_parameters() - self.masks.removed()
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

/// A gate of 1 for each hidden neuron.
fn open_gates(kind: &Kind) -> impl Iterator<Item = (ParameterName, Parameter)> {
    let modules = kind.widths.iter().filter(|(module, _)| module.form.has_neurons());
    modules.map(|(&module, &width)| {
        (ParameterName::gate(module), Parameter::new(vec![width, 1], vec![1.0; width]))
    })
}

impl MimiOptions {
    /// Whether the target is reached in one training: by a score before it, or by gates.
    pub fn trains_once(&self) -> bool {
        self.at_start().is_some() || self.gates().is_some()
    }

    /// How often modules that begin at these widths are trained: once, or as often as [expected](Self::expected).
    pub fn trainings(&self, original: &BTreeMap<Module, usize>, config: &BackboneConfig) -> Option<usize> {
        if self.trains_once() { Some(1) } else { self.expected(original, config) }
    }

    /// Expected number of trainings until the target is reached by one pruning after the other, of modules that begin at
    /// these widths; none if the accuracy decides. With blocks of different widths, a target of parameters assumes that
    /// pruning removes them evenly.
    pub fn expected(&self, original: &BTreeMap<Module, usize>, config: &BackboneConfig) -> Option<usize> {
        let neurons: usize = original.values().sum();
        let sum = |value: fn(usize, usize) -> usize| -> f64 {
            let each = |(module, &width): (&Module, _)| value(config.block_width(module.site.block), width);
            original.iter().map(each).sum::<usize>() as f64
        };
        let most = match self.target {
            Target::Never => return Some(1),
            Target::Accuracy(_) => return None,
            Target::Sigma(sigma) => sum(|d, _| d) / sigma * (1.0 + 1e-9),
            Target::Parameters(most) => most as f64 * neurons as f64 / sum(|d, r| 2 * d * r),
        };
        let left = |round| survivors(neurons, self.rho, round);
        let rounds = (0..).find(|&round| left(round) as f64 <= most || left(round + 1) == 0)?;
        Some(rounds + 1)
    }
}
