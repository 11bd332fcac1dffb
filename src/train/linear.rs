//! Softmax regression on frozen features: `logits = W f + b`, mean cross-entropy, AdamW.

use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::adamw::{AdamW, AdamWOptions};
use super::predict::{Measure, likeliest};
use super::prefix::Rows;
use super::schedule::{Schedule, cosine_with_warmup};
use crate::pack::Head;

/// How a head is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearOptions {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Weight decay on the weight; the bias has none (METHOD section 5).
    pub decay: f64,
    /// Seed of the order of images.
    pub seed: u64,
}

impl Default for LinearOptions {
    /// 100 epochs and decay 0.05 are METHOD section 5's; the rate is ten times its, since on frozen features
    /// the problem is convex; a fifth of the run warms up, as there.
    fn default() -> Self {
        Self { epochs: 100, batch: 64, rate: 5e-3, decay: 0.05, seed: 0 }
    }
}

impl LinearOptions {
    /// Whether the options can train.
    ///
    /// # Errors
    /// With the option that cannot.
    pub fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        check_recipe(self.rate, self.decay)
    }
}

/// Whether a learning rate and a weight decay are ones.
pub(super) fn check_recipe(rate: f64, decay: f64) -> Result<()> {
    ensure!(rate >= 0.0 && rate.is_finite(), "the learning rate is {rate}, expected 0 or more");
    ensure!(decay >= 0.0 && decay.is_finite(), "the weight decay is {decay}, expected 0 or more");
    Ok(())
}

/// Fits a head to pooled features. The same seed gives the same head.
///
/// # Shapes
/// Features `[n, D]`, head `[classes, D]`.
///
/// # Errors
/// When kept rows cannot be read.
pub fn fit(train: &Rows, classes: usize, options: &LinearOptions) -> Result<Head> {
    fit_heard(train, classes, options, |_, _, _| Ok(()))
}

/// As [`fit`]; `hear` is told after each epoch its number, loss and accuracy while it ran, and the head it left.
///
/// # Errors
/// As [`fit`], and those of `hear`.
pub fn fit_heard(
    train: &Rows,
    classes: usize,
    options: &LinearOptions,
    mut hear: impl FnMut(usize, Measure, &Head) -> Result<()>,
) -> Result<Head> {
    let width = train.values.size();
    let mut head = Head { weight: Array2::zeros((classes, width)), bias: Array1::zeros(classes) };
    let mut weight_state = AdamW::new(classes * width, AdamWOptions::default());
    let mut bias_state = AdamW::new(classes, AdamWOptions::default());
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut order: Vec<usize> = (0..train.classes.len()).collect();
    let steps = order.len().div_ceil(options.batch) * options.epochs;
    let schedule = Schedule { start: 0.0, base: options.rate, floor: 0.0, warmup: steps / 5, total: steps };
    let mut step = 0;
    for epoch in 0..options.epochs {
        order.shuffle(&mut random);
        let mut seen = Measure::default();
        for batch in order.chunks(options.batch) {
            let rate = cosine_with_warmup(&schedule, step);
            let (weight, bias) = gradient(&head, (train, batch), &mut seen)?;
            update(&mut weight_state, head.weight.as_slice_mut(), weight.as_slice(), (rate, options.decay));
            update(&mut bias_state, head.bias.as_slice_mut(), bias.as_slice(), (rate, 0.0));
            step += 1;
        }
        let count = order.len().max(1) as f64;
        hear(epoch, Measure { loss: seen.loss / count, accuracy: seen.accuracy / count }, &head)?;
    }
    Ok(head)
}

fn update(
    state: &mut AdamW,
    parameters: Option<&mut [f32]>,
    gradient: Option<&[f32]>,
    (rate, decay): (f64, f64),
) {
    // Both are made here in standard layout, so both are slices.
    if let (Some(parameters), Some(gradient)) = (parameters, gradient) {
        state.step(parameters, gradient, rate, decay);
    }
}

/// Gradient of the mean cross-entropy: `dW = (softmax − target)ᵀ f / n`, `db` its column mean. Adds losses and right
/// answers to `seen`.
fn gradient(
    head: &Head,
    (train, batch): (&Rows, &[usize]),
    seen: &mut Measure,
) -> Result<(Array2<f32>, Array1<f32>)> {
    let features = Array2::from_shape_vec((batch.len(), train.values.size()), train.values.gather(batch)?)?; // [n, D]
    let mut error = probabilities(head, features.view()); // [n, C]
    for (row, &index) in batch.iter().enumerate() {
        let class = train.classes[index];
        seen.loss -= f64::from(error[[row, class]].max(f32::MIN_POSITIVE)).ln();
        seen.accuracy += f64::from(u8::from(likeliest(&error.row(row).to_vec()) == Some(class)));
        error[[row, class]] -= 1.0;
    }
    error /= batch.len() as f32;
    let weight = error.t().dot(&features).as_standard_layout().into_owned();
    Ok((weight, error.sum_axis(Axis(0))))
}

fn probabilities(head: &Head, features: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut logits = features.dot(&head.weight.t()) + &head.bias;
    for mut row in logits.rows_mut() {
        let largest = row.fold(f32::NEG_INFINITY, |most, &x| most.max(x));
        row.mapv_inplace(|x| (x - largest).exp());
        let sum = row.sum();
        row /= sum;
    }
    logits
}
