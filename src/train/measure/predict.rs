//! Logits of a model in training, by the programs that serve it.

use std::sync::Arc;

use anyhow::Result;
use ndarray::{Array2, s};

use super::scorer::Scorer;
use crate::backbone::{BackboneConfig, BlockRange, ModuleSet};
use crate::graph::{FEATURES, ParameterName, Plan, build, uniform};
use crate::pack::Head;
use crate::runtime::{Input, Program, Resident};
use crate::train::data::columns::Columns;
use crate::train::data::rows::{Rows, input_name};
use crate::train::model::Model;

pub use super::scorer::Measure;
pub use crate::train::data::truth::likeliest;

/// Rows in one run.
const BATCH: usize = 8;

/// Runs the blocks from `block` on with `modules`.
pub struct Predictor {
    config: Arc<BackboneConfig>,
    block: usize,
    /// None where no block is left to run.
    program: Option<Program>,
}

impl Predictor {
    /// Compiles what follows `block`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, block: usize, modules: ModuleSet) -> Result<Self> {
        let blocks = BlockRange { start: block, end: resident.config().depth() };
        let compile = || resident.compile(&build(resident.config(), &Plan { blocks, modules })?);
        let program = (block < blocks.end).then(compile).transpose()?;
        Ok(Self { config: Arc::clone(resident.config()), block, program })
    }

    /// Logits of rows that are inputs of the predictor's block.
    ///
    /// # Shapes
    /// `values` is `count` rows of `shape`; the answer `[count, C]`.
    ///
    /// # Errors
    /// When the run fails.
    pub fn logits(&mut self, model: &Model, shape: &[usize], values: &[f32]) -> Result<Array2<f32>> {
        self.under(&model.head()?, model, shape, values)
    }

    /// As [`Predictor::logits`], with the model's head in a pack's layout, which many runs share.
    fn under(&mut self, head: &Head, model: &Model, shape: &[usize], values: &[f32]) -> Result<Array2<f32>> {
        let Some(program) = &mut self.program else {
            let columns = Columns::of(&self.config, &model.depths);
            return apply(head, shape[0], (0, &columns.take(values.to_vec())));
        };
        let widths = model.widths();
        let mut fed = Vec::new();
        for module in model.modules().iter() {
            let own = |part| {
                let parameter = model.parameters.get(ParameterName::Module(module, part));
                parameter.map_or(&[][..], |parameter| &parameter.values)
            };
            let width = widths.get(&module).copied().unwrap_or(0);
            fed.extend(uniform(&self.config, (module, width), shape[0], own)?);
        }
        let mut inputs = vec![Input { name: input_name(self.block), shape, data: values }];
        inputs.extend(fed.iter().map(|own| Input { name: &own.name, shape: &own.shape, data: &own.data }));
        let features = program.run_named(&inputs)?.take(FEATURES)?;
        // A pass that gives depths gives the pooled feature before them.
        let before = if model.depths.is_empty() { 0 } else { self.config.feature_width() };
        apply(head, shape[0], (before, &features.data))
    }

    /// Mean loss and score over `rows`, without smoothing or augmentation.
    ///
    /// # Errors
    /// When a run fails.
    pub fn measure(&mut self, model: &Model, rows: &Rows) -> Result<Measure> {
        let mut scorer = Scorer::new(&rows.truths);
        self.each(model, rows, |index, logits| scorer.add(rows.classes[index], logits))?;
        Ok(scorer.measure())
    }

    /// Tells the logits of each of `rows`, in order.
    ///
    /// # Errors
    /// When a run fails.
    pub fn each(&mut self, model: &Model, rows: &Rows, mut hear: impl FnMut(usize, &[f32])) -> Result<()> {
        let head = model.head()?;
        for start in (0..rows.len()).step_by(BATCH) {
            let end = (start + BATCH).min(rows.len());
            let values = rows.values.range(start..end)?;
            let logits = self.under(&head, model, &rows.batch_shape(end - start), &values)?;
            (start..end).zip(logits.rows()).for_each(|(index, row)| hear(index, &row.to_vec()));
        }
        Ok(())
    }
}

/// Applies a head to rows of features, each with so many numbers before what the head reads.
fn apply(head: &Head, count: usize, (before, features): (usize, &[f32])) -> Result<Array2<f32>> {
    let features = ndarray::ArrayView2::from_shape((count, before + head.weight.ncols()), features)?;
    let features = features.slice_move(s![.., before..]);
    let mut logits = Array2::zeros((count, head.bias.len()));
    for (feature, mut row) in features.rows().into_iter().zip(logits.rows_mut()) {
        // One row at a time, as the server does, so that it gives the very same numbers.
        row.assign(&head.logits(feature));
    }
    Ok(logits)
}
