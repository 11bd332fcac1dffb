//! What is trained: adapters and a head, in the layout of the training graph.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::parameters::{MissingParameter, Parameter, Parameters};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::graph::ParameterName;
use crate::pack::{Factored, Head, Small, StoredBits, Weights};
use crate::train::data::truth::Scale;

/// The matrices of the adapter at one site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projections<'a> {
    /// `[D, R]`.
    pub down: &'a Parameter,
    /// `[R, D]`.
    pub up: &'a Parameter,
}

impl Projections<'_> {
    /// Hidden neurons (R).
    pub fn width(&self) -> usize {
        self.up.shape[0]
    }

    /// Width of the block (D).
    pub fn block_width(&self) -> usize {
        self.up.shape[1]
    }
}

/// Everything a task trains.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The tensors. An adapter without neurons has none.
    pub parameters: Parameters,
    /// Widths of modules whose served tensors are made from these; none where what is trained is served.
    pub made: BTreeMap<Module, usize>,
    /// What served tensors were made from, where a pack keeps that.
    pub stored: Option<Factored>,
    /// Depths that the head reads, ascending; none where it reads the backbone's feature.
    pub depths: Vec<usize>,
    /// Matrices that a pack keeps at few bits; their tensors are what these expand to.
    pub small: BTreeMap<ParameterName, Small>,
}

impl Model {
    /// A head alone.
    pub fn from_head(head: &Head) -> Self {
        let (classes, width) = head.weight.dim();
        let weight = head.weight.t().iter().copied().collect();
        let named = [
            (ParameterName::HeadWeight, Parameter::new(vec![width, classes], weight)),
            (ParameterName::HeadBias, Parameter::new(vec![classes], head.bias.to_vec())),
        ];
        Self { parameters: named.into_iter().collect(), ..Self::default() }
    }

    /// The head as a pack has it.
    ///
    /// # Errors
    /// When the model has no head.
    pub fn head(&self) -> Result<Head, MissingParameter> {
        let weight = self.parameters.get(ParameterName::HeadWeight)?;
        let bias = self.parameters.get(ParameterName::HeadBias)?;
        let (width, classes) = (weight.shape[0], weight.shape[1]);
        Ok(Head {
            weight: Array2::from_shape_fn((classes, width), |(c, d)| weight.values[d * classes + c]),
            bias: Array1::from_vec(bias.values.clone()),
        })
    }

    /// Number of classes.
    ///
    /// # Errors
    /// When the model has no head.
    pub fn classes(&self) -> Result<usize, MissingParameter> {
        Ok(self.parameters.get(ParameterName::HeadBias)?.values.len())
    }

    /// The matrices of an adapter or a bypass.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn projections(&self, module: Module) -> Result<Projections<'_>, MissingParameter> {
        let get = |name| self.parameters.get(name);
        Ok(Projections { down: get(ParameterName::down(module))?, up: get(ParameterName::up(module))? })
    }

    /// The modules, and the depths that the head reads.
    pub fn modules(&self) -> ModuleSet {
        let own = self.parameters.iter().filter_map(|(name, _)| name.module());
        let own: ModuleSet = own.chain(self.made.keys().copied()).collect();
        own.union(ModuleSet::reading(self.depths.iter().copied()))
    }

    /// Width of each module that has one: hidden neurons, or tokens.
    pub fn widths(&self) -> BTreeMap<Module, usize> {
        let width = |(name, parameter): (ParameterName, &Parameter)| match name {
            ParameterName::Module(module, Part::Up) => Some((module, parameter.shape[0])),
            ParameterName::Module(module, Part::Values) => Some((module, parameter.shape[1])),
            _ => None,
        };
        let own = self.parameters.iter().filter_map(width);
        own.chain(self.made.iter().map(|(&module, &width)| (module, width))).collect()
    }

    /// Hidden neurons in all.
    pub fn neurons(&self) -> usize {
        self.widths().iter().filter(|(module, _)| module.form.has_neurons()).map(|(_, width)| width).sum()
    }

    /// Elements of all tensors, without the head.
    pub fn module_parameters(&self) -> usize {
        let modules = self.parameters.iter().filter(|(name, _)| !name.is_of_head());
        modules.map(|(_, parameter)| parameter.values.len()).sum()
    }

    /// First block with a module; the depth where there is none.
    pub fn lowest_block(&self, config: &BackboneConfig) -> usize {
        self.modules().lowest_block().unwrap_or(config.depth())
    }

    /// The block whose input is all that it needs of an image.
    pub fn first_needed(&self, config: &BackboneConfig) -> usize {
        if self.depths.is_empty() { self.lowest_block(config) } else { config.behind_pooling() }
    }

    /// Keeps the neurons that `kept` lists for each module, ascending, with their moments. A module left with none
    /// vanishes, and its biases with it.
    pub fn keep(&mut self, kept: &BTreeMap<Module, Vec<usize>>) {
        let none = Vec::new();
        let neurons = |module: Module| kept.get(&module).unwrap_or(&none);
        let is_kept = |module: Module| !module.form.has_neurons() || !neurons(module).is_empty();
        self.parameters.retain(|name| name.module().is_none_or(is_kept));
        for (name, parameter) in self.parameters.iter_mut() {
            match name {
                ParameterName::Module(module, Part::Down | Part::DownBias) => {
                    parameter.keep_columns(neurons(module));
                }
                ParameterName::Module(module, Part::Up | Part::Gate) => parameter.keep_rows(neurons(module)),
                ParameterName::Module(..) | ParameterName::Factor(..) | ParameterName::Shared(_) => {}
                ParameterName::HeadWeight | ParameterName::HeadBias => {}
            }
        }
    }

    /// Whether neurons have gates.
    pub fn is_gated(&self) -> bool {
        self.parameters.iter().any(|(name, _)| name.is_gate())
    }

    /// The same model without gates: each up-projection holds its own, and its moments are the product's.
    pub fn folded(&self) -> Self {
        let mut model = self.clone();
        for (name, parameter) in model.parameters.iter_mut() {
            let ParameterName::Module(module, Part::Up) = name else { continue };
            // A module without gates stays as it is.
            if let Ok(gates) = self.parameters.get(ParameterName::gate(module)) {
                *parameter = parameter.with_rows_times(&gates.values);
            }
        }
        model.parameters.retain(|name| !name.is_gate());
        model
    }

    /// The same model with its outputs in the values' own units. Without scales it is as it was.
    pub fn in_own_units(&self, scales: &[Scale]) -> Self {
        let mut model = self.clone();
        for (name, parameter) in model.parameters.iter_mut() {
            let is_bias = name == ParameterName::HeadBias;
            if scales.is_empty() || !(is_bias || name == ParameterName::HeadWeight) {
                continue;
            }
            // Both end in the axis of outputs.
            for (value, scale) in parameter.values.iter_mut().zip(scales.iter().cycle()) {
                let shift = if is_bias { scale.mean } else { 0.0 };
                *value = (f64::from(*value) * scale.deviation + shift) as f32;
            }
        }
        model
    }

    /// Bytes of the modules' tensors in a pack.
    pub fn adapter_bytes(&self) -> u64 {
        let whole = |count: usize| size_of::<f32>() * count;
        if let Some(factored) = &self.stored {
            return factored.tensors.values().map(|values| whole(values.len()) as u64).sum();
        }
        let of = |(name, parameter): (ParameterName, &Parameter)| match self.small.get(&name) {
            _ if name.is_of_head() => 0,
            Some(small) => (small.bits.bytes(small.codes.len()) + whole(small.scales.len())) as u64,
            None => whole(parameter.values.len()) as u64,
        };
        self.parameters.iter().map(of).sum()
    }

    /// The model as it is kept at few bits a weight.
    pub fn kept_at(&self, bits: StoredBits) -> Self {
        let mut model = self.clone();
        if bits.is_full() {
            return model;
        }
        for (name, parameter) in model.parameters.iter_mut() {
            if let (Some(bits), &[_, outputs]) = (bits.of_matrix(name), &parameter.shape[..]) {
                let small = match name {
                    ParameterName::HeadWeight => Small::of_head(&parameter.values, outputs),
                    _ => Small::of(&parameter.values, outputs, bits),
                };
                parameter.values = small.weights();
                model.small.insert(name, small);
            }
        }
        model
    }

    /// Its modules as a pack has them.
    pub fn weights(&self) -> BTreeMap<Module, Weights> {
        let widths = self.widths();
        let of = |module: Module| {
            let own = self.parameters.iter().filter_map(|(name, parameter)| match name {
                ParameterName::Module(other, part) if other == module => {
                    Some((part, parameter.values.clone()))
                }
                _ => None,
            });
            (module, Weights::new(widths.get(&module).copied().unwrap_or(0), own))
        };
        self.modules().iter().map(of).collect()
    }
}
