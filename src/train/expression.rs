//! From what is trained to what is served.

use anyhow::Result;

use super::model::Model;
use super::parameters::Parameter;
use crate::backbone::ModuleSet;
use crate::graph::{Express, ParameterName, SERVED, expression};
use crate::runtime::{Input, Program, Resident};

/// Computes the served tensors of a model.
pub struct Expression {
    /// Served tensors that are made of trained ones, and those that are trained themselves.
    made: Vec<ParameterName>,
    kept: Vec<ParameterName>,
    /// None where what is trained is served.
    program: Option<Program>,
}

impl Expression {
    /// Compiles what `express` makes of the tensors of `modules`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, modules: ModuleSet, express: &dyn Express) -> Result<Self> {
        let graph = expression(resident.config(), modules, express)?;
        let made = |name: &ParameterName| {
            let output = format!("{SERVED}{name}");
            graph.outputs().iter().any(|(made, _)| *made == output)
        };
        let (made, kept) = modules.iter().flat_map(ParameterName::of).partition(made);
        let program = (!graph.nodes().is_empty()).then(|| resident.compile(&graph)).transpose()?;
        Ok(Self { made, kept, program })
    }

    /// The model as it is served.
    ///
    /// # Errors
    /// When the run fails.
    pub fn served(&mut self, model: &Model) -> Result<Model> {
        let Some(program) = &mut self.program else { return Ok(model.clone()) };
        let trained = model.parameters.iter().filter(|(name, _)| name.module().is_some());
        let trained: Vec<_> = trained.map(|(name, own)| (name.to_string(), own)).collect();
        let inputs = trained.iter().map(|(name, own)| Input { name, shape: &own.shape, data: &own.values });
        let mut outputs = program.run_named(&inputs.collect::<Vec<_>>())?;
        let mut served = model.clone();
        served.parameters.retain(|name| name.module().is_none() || self.kept.contains(&name));
        for &name in &self.made {
            let output = outputs.take(&format!("{SERVED}{name}"))?;
            served.parameters.insert(name, Parameter::new(output.shape, output.data));
        }
        Ok(served)
    }
}
