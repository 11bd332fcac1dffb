//! Logits of a model in training, by the programs that serve it.

use anyhow::Result;
use ndarray::Array2;

use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::{FEATURES, ParameterName, Plan, build};
use crate::pack::Head;
use crate::runtime::{Input, Program, Resident};
use crate::train::data::rows::{Rows, input_name};
use crate::train::model::Model;

/// Rows in one run.
const BATCH: usize = 8;

/// What a model scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Share of rows whose likeliest class was theirs, 0 to 1.
    pub accuracy: f64,
}

/// Runs the blocks from `block` on with `modules`.
pub struct Predictor {
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
        Ok(Self { block, program })
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
        let Some(program) = &mut self.program else { return apply(head, shape[0], values) };
        let adapters = model.parameters.iter().filter(|(name, _)| name.site().is_some());
        let named = |(name, parameter): (ParameterName, _)| (name.to_string(), parameter);
        let adapters: Vec<_> = adapters.map(named).collect();
        let mut inputs = vec![Input { name: input_name(self.block), shape, data: values }];
        for (name, parameter) in &adapters {
            inputs.push(Input { name, shape: &parameter.shape, data: &parameter.values });
        }
        let features = program.run_named(&inputs)?.take(FEATURES)?;
        apply(head, shape[0], &features.data)
    }

    /// Mean loss and accuracy over `rows`, without smoothing or augmentation.
    ///
    /// # Errors
    /// When a run fails.
    pub fn measure(&mut self, model: &Model, rows: &Rows) -> Result<Measure> {
        let (mut loss, mut right) = (0.0, 0);
        self.each(model, rows, |index, logits| {
            let class = rows.classes[index];
            loss += cross_entropy(logits, class);
            right += usize::from(likeliest(logits) == Some(class));
        })?;
        let count = rows.len().max(1) as f64;
        Ok(Measure { loss: loss / count, accuracy: right as f64 / count })
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

fn apply(head: &Head, count: usize, features: &[f32]) -> Result<Array2<f32>> {
    let features = ndarray::ArrayView2::from_shape((count, head.weight.ncols()), features)?;
    let mut logits = Array2::zeros((count, head.bias.len()));
    for (feature, mut row) in features.rows().into_iter().zip(logits.rows_mut()) {
        // One row at a time, as the server does, so that it gives the very same numbers.
        row.assign(&head.logits(feature));
    }
    Ok(logits)
}

/// The class with the largest logit, the first of equals.
pub fn likeliest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)))
}

/// `log Σ exp(logits) − logits[class]`, nats.
pub fn cross_entropy(logits: &[f32], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    sum.ln() + f64::from(largest - logits[class])
}
