//! What is trained: weights of the backbone, and a head.

use std::collections::BTreeMap;

use anyhow::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::options::FinetuneOptions;
use super::tables::Table;
use crate::adaptation::random::uniform;
use crate::graph::ParameterName;
use crate::graph::flat::{Layout, Made, Piece};
use crate::runtime::{Input, Resident};
use crate::train::model::Model;
use crate::train::optim::flat_step::Trainee;
use crate::train::parameters::{Parameter, Parameters};

/// A weight of the backbone in training.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Its shape in the graph.
    pub shape: Vec<usize>,
    /// The values in training: those of the table, where there is one.
    pub own: Parameter,
    /// Where one number stands for several elements.
    pub table: Option<Table>,
    /// The elements that a table makes, kept up to date.
    expanded: Vec<f32>,
}

impl Weight {
    fn new(shape: Vec<usize>, values: Vec<f32>, table: Option<Table>) -> Self {
        let Some(table) = table else {
            let own = Parameter::new(shape.clone(), values);
            return Self { shape, own, table: None, expanded: Vec::new() };
        };
        let own = table.taken(&values);
        let own = Parameter::new(vec![own.len()], own);
        Self { shape, own, table: Some(table), expanded: values }
    }

    /// The elements as the graph reads them.
    pub fn elements(&self) -> &[f32] {
        if self.table.is_some() { &self.expanded } else { &self.own.values }
    }

    /// The elements that the graph would read for other values.
    pub fn elements_of(&self, values: &[f32]) -> Vec<f32> {
        self.table.as_ref().map_or_else(|| values.to_vec(), |table| table.expanded(values))
    }

    /// The gradient of the values, given that of the elements.
    pub fn gradient(&self, of_elements: Vec<f32>) -> Vec<f32> {
        match &self.table {
            Some(table) => table.summed(&of_elements),
            None => of_elements,
        }
    }

    /// Brings the elements up to date.
    fn expand(&mut self) {
        if let Some(table) = &self.table {
            self.expanded = table.expanded(&self.own.values);
        }
    }
}

/// Everything a fine-tuning changes.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// Weights by name.
    pub weights: BTreeMap<String, Weight>,
    /// The head: a model without modules.
    pub head: Model,
}

/// A tensor as a program takes it.
pub struct Fed<'a> {
    /// Its input's name.
    pub name: String,
    shape: &'a [usize],
    /// Its elements.
    pub data: &'a [f32],
}

impl Fed<'_> {
    /// The input.
    pub fn input(&self) -> Input<'_> {
        Input { name: &self.name, shape: self.shape, data: self.data }
    }
}

impl Tuned {
    /// The backbone's weights as they are, and a fresh head as `torch.nn.Linear` begins.
    ///
    /// # Errors
    /// When a weight cannot be read.
    pub fn new(resident: &Resident, classes: usize, options: &FinetuneOptions) -> Result<Self> {
        let config = resident.config();
        let mut weights = BTreeMap::new();
        for (name, shape) in options.subset.weights(config, options.first_block)? {
            let values = resident.store().read(&name)?;
            let table = Table::of(config, &name);
            weights.insert(name, Weight::new(shape, values, table));
        }
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let width = config.feature_width();
        let mut draw = |shape: Vec<usize>| {
            let values = uniform(&mut random, shape.iter().product(), width);
            Parameter::new(shape, values)
        };
        let mut parameters = Parameters::default();
        parameters.insert(ParameterName::HeadWeight, draw(vec![width, classes]));
        parameters.insert(ParameterName::HeadBias, draw(vec![classes]));
        Ok(Self { weights, head: Model { parameters, ..Model::default() } })
    }
}

impl Tuned {
    /// The weights.
    pub fn fed_weights(&self) -> Vec<Fed<'_>> {
        self.weights
            .iter()
            .map(|(name, weight)| Fed { name: name.clone(), shape: &weight.shape, data: weight.elements() })
            .collect()
    }

    /// The weights, then the head.
    pub fn fed(&self) -> Vec<Fed<'_>> {
        let head = self.head.parameters.iter();
        let head =
            head.map(|(name, own)| Fed { name: name.to_string(), shape: &own.shape, data: &own.values });
        self.fed_weights().into_iter().chain(head).collect()
    }

    /// Brings the elements up to date, where values were changed.
    pub fn expand(&mut self) {
        self.weights.values_mut().for_each(Weight::expand);
    }

    /// Weights, then the head, as pieces of one vector.
    pub fn layout(&self) -> Layout {
        let weights = self.weights.iter().map(|(name, weight)| Piece {
            name: name.clone(),
            shape: weight.shape.clone(),
            made: weight.table.as_ref().map_or(Made::Whole, |table| Made::Tied(table.tie())),
        });
        let head = self.head.parameters.iter();
        let head = head.map(|(name, own)| Piece::whole(name.to_string(), own.shape.clone()));
        Layout::new(weights.chain(head))
    }

    /// The same to be trained, matrices at a weight decay.
    pub fn trainees(&mut self, decay: f64) -> Vec<Trainee<'_>> {
        let trainee = |name: String, own, decays| {
            let decay = if decays { decay } else { 0.0 };
            Trainee { name, own, decay, pace: 1.0, mask: None }
        };
        let weights = self.weights.iter_mut().map(|(name, weight)| {
            let decays = decays(name, &weight.shape);
            trainee(name.clone(), &mut weight.own, decays)
        });
        let head = self.head.parameters.iter_mut().map(|(name, own)| {
            let decays = name.decays(&own.shape);
            trainee(name.to_string(), own, decays)
        });
        weights.chain(head).collect()
    }

    /// Numbers that are trained, without the head.
    pub fn parameters(&self) -> usize {
        self.weights.values().map(|weight| weight.own.values.len()).sum()
    }
}

/// Whether weight decay acts on a weight: on matrices and kernels, not on norms, biases, tokens and positions (timm's
/// `no_weight_decay`).
fn decays(name: &str, shape: &[usize]) -> bool {
    name.ends_with(".weight") && shape.len() > 1
}
