//! Served tensors, computed from what they are made of.

use super::outputs::Output;
use super::{Error, Input, Program, Resident};
use crate::backbone::ModuleSet;
use crate::graph::{Express, ParameterName, SERVED, expression};

/// The program that makes the served tensors of some modules.
pub struct Served {
    /// Those that are made of others, and those that are trained themselves.
    made: Vec<ParameterName>,
    kept: Vec<ParameterName>,
    /// What the program reads.
    inputs: Vec<String>,
    /// None where what is trained is served.
    program: Option<Program>,
}

impl Served {
    /// Compiles what `express` makes of the tensors of `modules`. It may read the backbone's weights.
    ///
    /// # Errors
    /// When the backbone has no place for a module, shapes do not fit, or the program cannot be compiled.
    pub fn new(resident: &Resident, modules: ModuleSet, express: &dyn Express) -> Result<Self, Error> {
        let graph = expression(resident.config(), modules, express)?;
        let made = |name: &ParameterName| {
            let output = format!("{SERVED}{name}");
            graph.outputs().iter().any(|(made, _)| *made == output)
        };
        let (made, kept) = modules.iter().flat_map(ParameterName::of).partition(made);
        let inputs = graph.inputs().iter().map(|&wire| graph.wire_name(wire).to_owned()).collect();
        let program = (!graph.nodes().is_empty()).then(|| resident.compile(&graph)).transpose()?;
        Ok(Self { made, kept, inputs, program })
    }

    /// Whether a tensor is served as it is trained.
    pub fn keeps(&self, name: ParameterName) -> bool {
        self.kept.contains(&name)
    }

    /// The tensors that are made of others; inputs that none is made of are passed over.
    ///
    /// # Errors
    /// When an input is missing or mis-shaped, or the run fails.
    pub fn run(&mut self, trained: &[Input<'_>]) -> Result<Vec<(ParameterName, Output)>, Error> {
        let Some(program) = &mut self.program else { return Ok(Vec::new()) };
        let is_read = |input: &Input<'_>| self.inputs.iter().any(|name| name == input.name);
        let read: Vec<Input<'_>> = trained.iter().copied().filter(is_read).collect();
        let mut outputs = program.run_named(&read)?;
        let take = |&name: &ParameterName| Ok((name, outputs.take(&format!("{SERVED}{name}"))?));
        self.made.iter().map(take).collect()
    }
}
