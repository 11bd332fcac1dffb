//! Scores of every weight before training.
//!
//! ```text
//! SNIP             |w g| / Σ |w g|                       g the gradient of one minibatch's loss
//! GraSP            w · H g / |Σ w · H g|                 the lowest go; published with its sign turned round
//! SparseAdapter    |w|
//! ```
//! GraSP's loss is that of the logits over a temperature, `g = g₁ + g₂` over the halves of the minibatch, and the Hessian
//! H is that of both halves too. No second derivative is wired, but a difference of four first ones:
//! ```text
//! H g ≈ (8 (∇L(w + ε g) − ∇L(w − ε g)) − (∇L(w + 2 ε g) − ∇L(w − 2 ε g))) / 12 ε
//! ```

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::score::StartScore;
use crate::graph::training::Loss;
use crate::graph::{Express, ParameterName, Trained};
use crate::runtime::Resident;
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;
use crate::train::optim::gradients::Gradients;
use crate::train::optim::mask::Saliency;
use crate::train::optim::step::{StepOptions, Stepper};
use crate::train::parameters::Parameter;

/// What GraSP divides logits by (the authors' code).
const TEMPERATURE: f32 = 200.0;
/// Length of GraSP's move `ε g` as a share of `‖w‖`. On tiny networks the product is then right within 1e-4 of its largest
/// element; a tenth of it, and rounding tells, five times it, and so does the fifth derivative.
const REACH: f64 = 4e-4;
/// Where gradients are taken, in moves, and what each counts: the third derivative cancels.
const STENCIL: [(f64, f64); 4] =
    [(1.0, 2.0 / 3.0), (-1.0, -2.0 / 3.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0)];

/// Scores the weights of a model.
pub struct Surveyor {
    stepper: Stepper,
}

impl Surveyor {
    /// Compiles gradients of the model's modules; images are inputs of `block`. No path is dropped.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(
        resident: &Resident,
        block: usize,
        model: &Model,
        (express, loss): (&dyn Express, Loss),
        micro_batch: usize,
    ) -> Result<Self> {
        let trained = Trained { express, loss, drops_paths: false };
        let options = StepOptions { decay: 0.0, clip: f64::INFINITY, drop_path: 0.0, micro_batch };
        Ok(Self { stepper: Stepper::new(resident, block, model, trained, options)? })
    }

    /// The score of every element of the modules' matrices; the highest are worth keeping.
    ///
    /// # Errors
    /// When a run fails, or the minibatch has no two images for GraSP's halves.
    pub fn saliency(&mut self, model: &Model, batch: &Minibatch, score: StartScore) -> Result<Saliency> {
        match score {
            StartScore::Magnitude => {
                weighed(model, |_, own| Ok(own.iter().map(|w| f64::from(w.abs())).collect()))
            }
            StartScore::Snip => {
                let gradients = self.gradients(model, batch)?;
                let found = weighed(model, |name, own| Ok(products(own, gradients.get(name)?)))?;
                Ok(shares(found, f64::abs))
            }
            StartScore::Grasp => self.grasp(model, batch),
        }
    }

    fn grasp(&mut self, model: &Model, batch: &Minibatch) -> Result<Saliency> {
        let halves = halves(batch)?;
        let model = cooled(model);
        let gradients = self.summed(&model, &halves)?;
        let [length, slope] = [norm(&model, |_, own| Ok(own))?, norm(&model, |name, _| gradients.get(name))?];
        let step = REACH * length / slope.max(f64::MIN_POSITIVE);
        let mut curved = Vec::new();
        for (multiple, weight) in STENCIL {
            let at = moved(&model, &gradients, multiple * step)?;
            curved.push((weight / step, self.summed(&at, &halves)?));
        }
        let found = weighed(&model, |name, own| {
            let mut product = vec![0.0; own.len()];
            for (weight, gradients) in &curved {
                product
                    .iter_mut()
                    .zip(gradients.get(name)?)
                    .for_each(|(sum, g)| *sum += weight * f64::from(*g));
            }
            Ok(own.iter().zip(product).map(|(w, product)| f64::from(*w) * product).collect())
        })?;
        Ok(shares(found, |score| score))
    }

    /// Gradients of the sum of the parts' mean losses.
    fn summed(&mut self, model: &Model, parts: &[Minibatch]) -> Result<Gradients> {
        let mut sum = Gradients::zeros(&model.parameters);
        for part in parts {
            sum.add_all(&self.gradients(model, part)?)?;
        }
        Ok(sum)
    }

    /// Gradients of the mean loss.
    ///
    /// # Errors
    /// When a run fails.
    pub fn gradients(&mut self, model: &Model, batch: &Minibatch) -> Result<Gradients> {
        // No path is dropped, so nothing is drawn.
        let mut random = ChaCha8Rng::seed_from_u64(0);
        Ok(self.stepper.gradients(model, batch, &mut random)?.gradients)
    }
}

/// Whether a parameter is a matrix of a module: what scores weigh.
fn is_weighed(name: ParameterName) -> bool {
    matches!(name, ParameterName::Module(_, part) if part.is_matrix())
}

fn weighed(
    model: &Model,
    mut score: impl FnMut(ParameterName, &[f32]) -> Result<Vec<f64>>,
) -> Result<Saliency> {
    let matrices = model.parameters.iter().filter(|(name, _)| is_weighed(*name));
    matrices.map(|(name, own)| Ok((name, score(name, &own.values)?))).collect()
}

fn products(weights: &[f32], gradients: &[f32]) -> Vec<f64> {
    weights.iter().zip(gradients).map(|(w, g)| f64::from(*w) * f64::from(*g)).collect()
}

/// Every score, as `of` makes it, over the size of their sum.
fn shares(mut found: Saliency, of: fn(f64) -> f64) -> Saliency {
    let sum = found.values().flatten().map(|score| of(*score)).sum::<f64>().abs();
    let share = |score: &mut f64| *score = of(*score) / sum.max(f64::MIN_POSITIVE);
    found.values_mut().flatten().for_each(share);
    found
}

/// The norm of what `values` gives for all matrices together.
fn norm<'a>(model: &'a Model, values: impl Fn(ParameterName, &'a [f32]) -> Result<&'a [f32]>) -> Result<f64> {
    let mut sum = 0.0;
    for (name, own) in model.parameters.iter().filter(|(name, _)| is_weighed(*name)) {
        sum += values(name, &own.values)?.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    }
    Ok(sum.sqrt())
}

/// The model whose logits are divided by the temperature.
fn cooled(model: &Model) -> Model {
    let mut model = model.clone();
    let heads = |name| matches!(name, ParameterName::HeadWeight | ParameterName::HeadBias);
    for (_, parameter) in model.parameters.iter_mut().filter(|(name, _)| heads(*name)) {
        parameter.values.iter_mut().for_each(|value| *value /= TEMPERATURE);
    }
    model
}

/// The model with its matrices moved by `step` along the gradients.
fn moved(model: &Model, gradients: &Gradients, step: f64) -> Result<Model> {
    let mut model = model.clone();
    for (name, Parameter { values, .. }) in model.parameters.iter_mut().filter(|(name, _)| is_weighed(*name))
    {
        let by = |(value, g): (&mut f32, &f32)| *value = (f64::from(*value) + step * f64::from(*g)) as f32;
        values.iter_mut().zip(gradients.get(name)?).for_each(by);
    }
    Ok(model)
}

/// A minibatch in two.
fn halves(batch: &Minibatch) -> Result<[Minibatch; 2]> {
    let count = batch.classes.len();
    ensure!(count > 1, "GraSP needs a minibatch of at least two images");
    let (row, classes, middle) = (batch.values.len() / count, batch.targets.len() / count, count / 2);
    Ok([0..middle, middle..count].map(|rows| Minibatch {
        shape: [&[rows.len()], &batch.shape[1..]].concat(),
        values: batch.values[rows.start * row..rows.end * row].to_vec(),
        targets: batch.targets[rows.start * classes..rows.end * classes].to_vec(),
        classes: batch.classes[rows].to_vec(),
    }))
}
