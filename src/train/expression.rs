//! From what is trained to what is served.

use std::collections::BTreeMap;

use anyhow::Result;

use super::model::Model;
use super::parameters::Parameter;
use crate::adaptation::Kind;
use crate::backbone::ModuleSet;
use crate::graph::ParameterName;
use crate::pack::Factored;
use crate::runtime::{Input, Resident, Served};

/// Computes the served tensors of a model.
pub struct Expression {
    kind: Kind,
    served: Served,
}

impl Expression {
    /// Compiles what a kind makes of the tensors of `modules`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, modules: ModuleSet, kind: &Kind) -> Result<Self> {
        let served = Served::new(resident, modules, &kind.on(resident.config()))?;
        Ok(Self { kind: kind.clone(), served })
    }

    /// The model as it is served, with what it was made of where a pack keeps that.
    ///
    /// # Errors
    /// When the run fails.
    pub fn served(&mut self, model: &Model) -> Result<Model> {
        let names: Vec<_> = model.parameters.iter().map(|(name, own)| (name.to_string(), own)).collect();
        let inputs = names.iter().map(|(name, own)| Input { name, shape: &own.shape, data: &own.values });
        let made = self.served.run(&inputs.collect::<Vec<_>>())?;
        let mut served = Model { made: BTreeMap::new(), stored: self.stored(model), ..model.clone() };
        served.parameters.retain(|name| name.is_of_head() || self.served.keeps(name));
        for (name, output) in made {
            served.parameters.insert(name, Parameter::new(output.shape, output.data));
        }
        Ok(served)
    }

    /// What a pack keeps of a factorised method.
    fn stored(&self, model: &Model) -> Option<Factored> {
        let own = model.parameters.iter().filter(|(name, _)| !name.is_of_head());
        let tensors =
            || own.map(|(name, own): (ParameterName, &Parameter)| (name, own.values.clone())).collect();
        self.kind.is_factorised().then(|| Factored { kind: self.kind.clone(), tensors: tensors() })
    }
}
