//! A training graph run on a minibatch, in parts whose losses and gradients add up.

use std::ops::Range;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;

use super::paths::{Path, paths};
use crate::graph::Graph;
use crate::graph::training::{LOGITS, LOSS, Loss, TARGETS, WEIGHTS};
use crate::runtime::{Input, Outputs, Program, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::data::rows::input_name;
use crate::train::measure::predict::likeliest;

/// What a step saw before it changed the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Mean loss, smoothing included.
    pub loss: f64,
    /// Images whose likeliest class was theirs.
    pub right: usize,
    /// Every image's outputs, row-major, where they are no classes.
    pub outputs: Vec<f32>,
}

/// How a training graph is run.
#[derive(Clone, Copy, Debug)]
pub struct PartOptions {
    /// The block whose input the images are.
    pub block: usize,
    /// Most images that are run together.
    pub micro_batch: usize,
    /// Share of the rows for which the last block's branches are dropped.
    pub drop_path: f64,
    /// What the graph makes small.
    pub loss: Loss,
}

/// A compiled training graph.
pub struct Parts {
    program: Program,
    paths: Vec<Path>,
    options: PartOptions,
}

/// Some rows of a minibatch.
struct Part<'a> {
    batch: &'a Minibatch,
    rows: Range<usize>,
    classes: usize,
    /// What each path multiplies every row of the minibatch by.
    keep: &'a [Vec<f32>],
}

impl Parts {
    /// Compiles a training graph.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub fn new(resident: &Resident, graph: &Graph, options: PartOptions) -> Result<Self> {
        let paths = paths(graph, options.drop_path, resident.config().depth());
        Ok(Self { program: resident.compile(graph)?, paths, options })
    }

    /// Runs a minibatch with what is `trained`; `hear` takes each part's gradients, which are those of the mean loss.
    ///
    /// # Errors
    /// When a run fails, and those of `hear`.
    pub fn run(
        &mut self,
        trained: &[Input<'_>],
        minibatch: (&Minibatch, usize),
        random: &mut ChaCha8Rng,
        mut hear: impl FnMut(&mut Outputs) -> Result<()>,
    ) -> Result<Seen> {
        self.run_by(minibatch, random, |program, images| {
            let inputs: Vec<Input<'_>> = images.iter().chain(trained).copied().collect();
            let mut outputs = program.run_named(&inputs)?;
            hear(&mut outputs)?;
            Ok(outputs)
        })
    }

    /// Runs a minibatch of so many classes: `run` runs the program on each part, of which it gets the images, and returns at
    /// least loss and logits.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn run_by(
        &mut self,
        (batch, classes): (&Minibatch, usize),
        random: &mut ChaCha8Rng,
        mut run: impl FnMut(&mut Program, &[Input<'_>]) -> Result<Outputs>,
    ) -> Result<Seen> {
        let count = batch.classes.len();
        // Drawn for the whole batch, so that its parts do not change what is drawn.
        let keep: Vec<Vec<f32>> = self.paths.iter().map(|path| path.draw(count, random)).collect();
        let (size, mut seen) = (self.options.micro_batch.max(1), Seen::default());
        for start in (0..count).step_by(size) {
            let rows = start..(start + size).min(count);
            let part = Part { batch, rows: rows.clone(), classes, keep: &keep };
            let mut outputs = self.part(&part, &mut run)?;
            seen.loss += outputs.take(LOSS)?.data.first().copied().map_or(f64::NAN, f64::from);
            let logits = outputs.take(LOGITS)?.data;
            if self.options.loss == Loss::CrossEntropy {
                let rows = logits.chunks(classes).zip(&batch.classes[rows]);
                seen.right += rows.filter(|(row, class)| likeliest(row) == Some(**class)).count();
            } else {
                seen.outputs.extend(logits);
            }
        }
        Ok(seen)
    }

    /// What `run` gives for some rows.
    fn part(
        &mut self,
        part: &Part<'_>,
        run: &mut impl FnMut(&mut Program, &[Input<'_>]) -> Result<Outputs>,
    ) -> Result<Outputs> {
        let Part { batch, rows, classes, keep } = part;
        let (count, classes, len) = (batch.classes.len(), *classes, rows.len());
        let size = batch.values.len() / count;
        let targets = &batch.targets[rows.start * classes..rows.end * classes];
        // A mean over rows and, where each output has a loss of its own, over outputs.
        let is_weighted = self.options.loss.is_weighted();
        let share = if is_weighted { 1.0 } else { count as f32 };
        let weights = vec![1.0 / (count * classes) as f32; len];
        let targets: Vec<f32> = targets.iter().map(|t| t / share).collect();
        let (shape, wanted) = ([&[len], &batch.shape[1..]].concat(), [len, classes]);
        let values = &batch.values[rows.start * size..rows.end * size];
        let mut inputs = vec![
            Input { name: input_name(self.options.block), shape: &shape, data: values },
            Input { name: TARGETS, shape: &wanted, data: &targets },
        ];
        let (weighed, kept) = ([len, 1], [len, 1, 1]);
        if is_weighted {
            inputs.push(Input { name: WEIGHTS, shape: &weighed, data: &weights });
        }
        for (path, keep) in self.paths.iter().zip(*keep) {
            inputs.push(Input { name: &path.input, shape: &kept, data: &keep[rows.clone()] });
        }
        run(&mut self.program, &inputs)
    }
}
