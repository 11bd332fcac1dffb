//! How many parameters are left for neurons of unequal size.

use std::collections::BTreeMap;

use crate::backbone::{Module, Part};
use crate::graph::ParameterName;
use crate::train::model::Model;

/// Parameters of a module's neurons.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// Those of one neuron.
    each: usize,
    /// Those of the module itself, such as a bias of what it gives.
    once: usize,
}

/// What is left of a limit, neuron by neuron.
#[derive(Clone, Debug)]
pub struct Room {
    left: usize,
    /// Of modules with neurons.
    sizes: BTreeMap<Module, Size>,
}

impl Room {
    /// At most so many parameters, for the neurons of a model without gates. What else it has but the head comes first.
    pub fn new(model: &Model, most: usize) -> Self {
        let (mut sizes, mut others) = (BTreeMap::<Module, Size>::new(), 0);
        let widths = model.widths();
        for (name, parameter) in model.parameters.iter().filter(|(name, _)| !name.is_of_head()) {
            let (count, module) = (parameter.values.len(), name.module());
            let Some(module) = module.filter(|module| module.form.has_neurons()) else {
                others += count;
                continue;
            };
            let size = sizes.entry(module).or_default();
            let width = widths.get(&module).copied().unwrap_or(0).max(1);
            match name {
                ParameterName::Module(_, Part::Down | Part::DownBias | Part::Up) => {
                    size.each += count / width
                }
                _ => size.once += count,
            }
        }
        Self { left: most.saturating_sub(others), sizes }
    }

    /// Takes a neuron's parameters, and its module's with the first; false where they do not fit.
    pub fn take(&mut self, module: Module) -> bool {
        let Some(size) = self.sizes.get_mut(&module) else { return false };
        let needed = size.each + size.once;
        let fits = needed <= self.left;
        if fits {
            self.left -= needed;
            size.once = 0;
        }
        fits
    }

    /// Parameters of the smallest neuron.
    pub fn least(&self) -> usize {
        self.sizes.values().map(|size| size.each + size.once).min().unwrap_or(0)
    }
}
