//! Steps of fine-tuning, and what the backbone then answers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use rand_chacha::ChaCha8Rng;

use super::options::FinetuneOptions;
use super::tuned::Tuned;
use crate::backbone::{BackboneConfig, BlockRange, ModuleSet};
use crate::graph::training::{Loss, gradient_output, tuning_graph};
use crate::graph::{Direct, FEATURES, Graph, Plan, Trained, build};
use crate::runtime::{Input, Program, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::data::rows::{Rows, input_name};
use crate::train::measure::scorer::Scorer;
use crate::train::optim::clip::clip;
use crate::train::optim::diverged::Diverged;
use crate::train::optim::flat_step::Trainee;
use crate::train::optim::gradients::Gradients;
use crate::train::optim::learner::Learner;
use crate::train::optim::parts::{PartOptions, Parts};
use crate::train::optim::step::{Seen, StepOptions, Stepped};

/// Rows in one run without gradients.
const BATCH: usize = 8;

/// The plan of the whole backbone from `block` on.
fn plan(config: &BackboneConfig, block: usize) -> Plan {
    Plan { blocks: BlockRange { start: block, end: config.depth() }, modules: ModuleSet::EMPTY }
}

/// The graph of a step on inputs of `block`.
///
/// # Errors
/// When the backbone's configuration contradicts itself.
pub fn step_graph(
    config: &BackboneConfig,
    options: &FinetuneOptions,
    block: usize,
    loss: Loss,
) -> Result<Graph> {
    let names: BTreeSet<String> = options.subset.weights(config, options.first_block)?.into_keys().collect();
    let trained = Trained { express: &Direct, loss, drops_paths: options.step.drop_path > 0.0 };
    Ok(tuning_graph(config, &plan(config, block), trained, |name| names.contains(name))?)
}

/// What a step takes in.
#[derive(Clone, Copy, Debug)]
pub struct StepInput {
    /// The block whose input the images are.
    pub block: usize,
    /// What is made small.
    pub loss: Loss,
    /// Most images that are run together.
    pub micro_batch: usize,
}

impl StepInput {
    /// How the graph of a step is run.
    pub(super) fn parts(self, options: &StepOptions) -> PartOptions {
        let Self { block, loss, micro_batch } = self;
        PartOptions { block, micro_batch, drop_path: options.drop_path, loss }
    }
}

/// Trains weights of the backbone.
pub struct Tuner {
    tuned: Tuned,
    parts: Parts,
    options: StepOptions,
}

impl Tuner {
    /// Compiles a step on inputs of `block`.
    ///
    /// # Errors
    /// When a weight cannot be read or the program cannot be compiled.
    pub fn new(resident: &Resident, tuned: Tuned, options: &FinetuneOptions, at: StepInput) -> Result<Self> {
        let graph = step_graph(resident.config(), options, at.block, at.loss)?;
        let parts = Parts::new(resident, &graph, at.parts(&options.step))?;
        Ok(Self { tuned, parts, options: options.step })
    }

    /// What was trained.
    pub fn into_tuned(self) -> Tuned {
        self.tuned
    }

    /// What is trained.
    pub fn tuned(&self) -> &Tuned {
        &self.tuned
    }

    /// What a minibatch shows, and the gradients of its mean loss by name: weights, then the head.
    ///
    /// # Errors
    /// When a run fails.
    pub fn gradients(&mut self, batch: &Minibatch, random: &mut ChaCha8Rng) -> Result<Slope> {
        let classes = self.tuned.head.classes()?;
        let fed = self.tuned.fed();
        let inputs: Vec<Input<'_>> = fed.iter().map(|fed| fed.input()).collect();
        let mut sums: Vec<(String, Vec<f32>)> =
            fed.iter().map(|fed| (fed.name.clone(), vec![0.0; fed.data.len()])).collect();
        let seen = self.parts.run(&inputs, (batch, classes), random, |outputs| {
            for (name, sum) in &mut sums {
                let part = outputs.take(&gradient_output(&*name))?.data;
                sum.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
            }
            Ok(())
        })?;
        for (name, sum) in &mut sums {
            if let Some(weight) = self.tuned.weights.get(name) {
                *sum = weight.gradient(std::mem::take(sum));
            }
        }
        Ok(Slope { seen, gradients: sums.into_iter().collect() })
    }
}

/// What a minibatch gave.
pub struct Slope {
    /// Loss and right answers.
    pub seen: Seen,
    /// Gradients of the mean loss, by name.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

impl Learner for Tuner {
    fn classes(&self) -> Result<usize> {
        Ok(self.tuned.head.classes()?)
    }

    fn step(&mut self, batch: &Minibatch, (rate, random): (f64, &mut ChaCha8Rng)) -> Result<Stepped> {
        let Slope { seen, mut gradients } = self.gradients(batch, random)?;
        ensure!(seen.loss.is_finite(), Diverged(seen.loss));
        clip(&mut gradients.values_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(), self.options.clip);
        for Trainee { name, own, decay, .. } in self.tuned.trainees(self.options.decay) {
            let gradient = gradients.get(&name).with_context(|| format!("there is no gradient of {name}"))?;
            own.state.step(&mut own.values, gradient, rate, decay);
        }
        self.tuned.expand();
        Ok(Stepped { seen, gradients: Gradients::default() })
    }
}

/// Runs the backbone with other weights.
pub struct Reader {
    program: Program,
    block: usize,
}

impl Reader {
    /// Compiles what follows `block`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, block: usize, tuned: &Tuned) -> Result<Self> {
        let mut graph: Graph = build(resident.config(), &plan(resident.config(), block))?;
        graph.free(|name| tuned.weights.contains_key(name));
        Ok(Self { program: resident.compile(&graph)?, block })
    }

    /// Mean loss and score over `rows`, without smoothing or augmentation.
    ///
    /// # Errors
    /// When a run fails.
    pub fn score(&mut self, tuned: &Tuned, rows: &Rows) -> Result<Scorer> {
        let (head, mut scorer, fed) = (tuned.head.head()?, Scorer::new(&rows.truths), tuned.fed_weights());
        for start in (0..rows.len()).step_by(BATCH) {
            let end = (start + BATCH).min(rows.len());
            let (shape, values) = (rows.batch_shape(end - start), rows.values.range(start..end)?);
            let mut inputs = vec![Input { name: input_name(self.block), shape: &shape, data: &values }];
            inputs.extend(fed.iter().map(|fed| fed.input()));
            let features = self.program.run_named(&inputs)?.take(FEATURES)?.data;
            for (index, feature) in (start..end).zip(features.chunks(features.len() / (end - start))) {
                scorer.add(rows.classes[index], &head.logits(ndarray::ArrayView1::from(feature)).to_vec());
            }
        }
        Ok(scorer)
    }
}
