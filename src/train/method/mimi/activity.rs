//! What neurons do on the training images.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::adaptation::Kind;
use crate::backbone::{BlockRange, Module};
use crate::graph::{Plan, active_output, activity_graph, entering_output};
use crate::runtime::{Input, Outputs, Program, Resident};
use crate::train::data::chance::Chance;
use crate::train::data::minibatch::{Draw, Minibatch, TargetOptions};
use crate::train::data::rows::input_name;
use crate::train::data::source::Source;
use crate::train::model::Model;

/// Means over images and tokens, by module.
pub type Activity = BTreeMap<Module, Active>;

/// What the neurons of a module do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Active {
    /// Mean `|act(down · h + a)|` of each neuron.
    pub active: Vec<f64>,
    /// Mean norm of what the module reads, `‖h‖`.
    pub entering: f64,
}

impl Active {
    /// `E|act| · ‖up‖ / E‖h‖` of each neuron.
    pub fn contribution(&self, up_norms: &[f64]) -> Vec<f64> {
        let entering = self.entering.max(f64::MIN_POSITIVE);
        self.active.iter().zip(up_norms).map(|(active, norm)| active * norm / entering).collect()
    }
}

/// Measures neurons.
pub struct Observatory {
    block: usize,
    modules: Vec<Module>,
    program: Program,
    sums: BTreeMap<Module, Sum>,
}

/// Sums over tokens.
#[derive(Default)]
struct Sum {
    active: Vec<f64>,
    entering: f64,
    tokens: usize,
}

impl Observatory {
    /// Compiles the forward pass from `block` on.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, block: usize, model: &Model, kind: &Kind) -> Result<Self> {
        let blocks = BlockRange { start: block, end: resident.config().depth() };
        let plan = Plan { blocks, modules: model.modules() };
        let program =
            resident.compile(&activity_graph(resident.config(), &plan, &kind.on(resident.config()))?)?;
        let modules = model.widths().into_keys().collect();
        Ok(Self { block, modules, program, sums: BTreeMap::new() })
    }

    /// Looks at every training image, `batch` of them at a time.
    ///
    /// # Errors
    /// When an image can no longer be read, or a run fails.
    pub fn watch(
        mut self,
        source: &Source,
        model: &Model,
        (batch, chance): (usize, Chance),
    ) -> Result<Activity> {
        let targets = TargetOptions { classes: model.classes()?, smoothing: 0.0 };
        let order: Vec<usize> = (0..source.classes().len()).collect();
        for (number, indices) in order.chunks(batch.max(1)).enumerate() {
            self.add(model, &source.batch(&Draw { indices, number, chance }, targets)?)?;
        }
        Ok(self.activity())
    }

    /// Looks at the images of a minibatch.
    ///
    /// # Errors
    /// When the run fails.
    pub fn add(&mut self, model: &Model, batch: &Minibatch) -> Result<()> {
        let parameters = model.parameters.iter().filter(|(name, _)| name.module().is_some());
        let parameters: Vec<_> = parameters.map(|(name, own)| (name.to_string(), own)).collect();
        let mut inputs =
            vec![Input { name: input_name(self.block), shape: &batch.shape, data: &batch.values }];
        inputs.extend(parameters.iter().map(|(name, own)| Input {
            name,
            shape: &own.shape,
            data: &own.values,
        }));
        let mut outputs = self.program.run_named(&inputs)?;
        for &module in &self.modules {
            self.sums.entry(module).or_default().add(module, &mut outputs)?;
        }
        Ok(())
    }

    /// The means of what was seen.
    pub fn activity(&self) -> Activity {
        self.sums.iter().map(|(&module, sum)| (module, sum.mean())).collect()
    }
}

impl Sum {
    fn add(&mut self, module: Module, outputs: &mut Outputs) -> Result<()> {
        let active = outputs.take(&active_output(module))?;
        let width = active.shape.last().copied().unwrap_or(0).max(1);
        self.active.resize(width, 0.0);
        for token in active.data.chunks(width) {
            self.active.iter_mut().zip(token).for_each(|(sum, z)| *sum += f64::from(z.abs()));
        }
        let squares = outputs.take(&entering_output(module))?.data;
        self.entering += squares.iter().map(|square| f64::from(*square).sqrt()).sum::<f64>();
        self.tokens += squares.len();
        Ok(())
    }

    fn mean(&self) -> Active {
        let tokens = self.tokens.max(1) as f64;
        let active = self.active.iter().map(|sum| sum / tokens).collect();
        Active { active, entering: self.entering / tokens }
    }
}
