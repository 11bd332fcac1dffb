//! A head on frozen features: `logits = W f + b`, mean loss, AdamW. Under cross-entropy it is softmax regression.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::training_method::{Accuracies, Course, Demand, Trained, TrainingMethod};
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::pack::{Bits, Head, StoredBits};
use crate::train::data::augment::options::AugmentOptions;
use crate::train::data::columns::Columns;
use crate::train::data::intake::Intake;
use crate::train::data::load::Loaded;
use crate::train::data::rows::Rows;
use crate::train::data::source::Source;
use crate::train::history::{Epoch, History, Place};
use crate::train::measure::predict::{Measure, Predictor};
use crate::train::measure::scorer::Scorer;
use crate::train::model::Model;
use crate::train::optim::adamw::{AdamW, AdamWOptions};
use crate::train::optim::recipe::{check_head_bits, check_rates};
use crate::train::optim::schedule::{Schedule, cosine_with_warmup};
use crate::train::progress::{Observer, Progress, Step};

/// How a head is fitted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinearOptions {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Weight decay on the weight; the bias has none (docs/method.md section 5).
    pub decay: f64,
    /// Bits a weight that the pack keeps of the head; rounded after the last epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_bits: Option<Bits>,
    /// Seed of the order of images.
    pub seed: u64,
}

impl Default for LinearOptions {
    /// 100 epochs and decay 0.05 are docs/method.md section 5's; the rate is ten times its, since on frozen features
    /// the problem is convex; a fifth of the run warms up, as there.
    fn default() -> Self {
        Self { epochs: 100, batch: 64, rate: 5e-3, decay: 0.05, head_bits: None, seed: 0 }
    }
}

impl TrainingMethod for LinearOptions {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn settings(&self) -> Map<String, Value> {
        let Self { epochs, batch, rate, decay, head_bits, seed } = self;
        let pairs = [
            ("epochs", json!(epochs)),
            ("batch", json!(batch)),
            ("learning_rate", json!(rate)),
            ("weight_decay", json!(decay)),
            ("head_bits", json!(head_bits)),
            ("order_seed", json!(seed)),
        ];
        let pairs = pairs.into_iter().filter(|(key, _)| *key != "head_bits" || head_bits.is_some());
        pairs.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn check(&self, _: &BackboneConfig) -> Result<()> {
        LinearOptions::check(self)
    }

    fn intake(&self, config: &BackboneConfig) -> Intake {
        Intake { block: config.depth(), augment: AugmentOptions::none(), seed: self.seed }
    }

    fn demand(&self, config: &BackboneConfig, classes: usize) -> Result<Demand> {
        Ok(Demand { parameters: classes * (config.feature_width() + 1), steps: None })
    }

    fn train(&self, course: Course<'_>, observe: &mut Observer<'_>) -> Result<Trained> {
        let Loaded { train: Source::Kept(train), held_out } = course.images else {
            bail!("a head alone is trained on kept features");
        };
        let mut predictor = Predictor::new(&course.setup.resident, train.block, ModuleSet::EMPTY)?;
        let (mut history, started) = (History::default(), Instant::now());
        let head = fit_heard(&train, course.classes, self, |epoch, seen, head| -> Result<()> {
            let measured = predictor.measure(&Model::from_head(head), &held_out)?;
            let rate = (train.len() * (epoch + 1)) as f64 / started.elapsed().as_secs_f64();
            history.epochs.push(Epoch::new(Place { cycle: 0, epoch }, seen, measured, rate));
            observe(Progress::Step(&self.step(epoch, train.len(), seen, rate)));
            Ok(())
        })?;
        let bits = StoredBits { adapters: None, head: self.head_bits };
        let model = Model::from_head(&head).kept_at(bits);
        let accuracies = Accuracies {
            train: predictor.measure(&model, &train)?.accuracy,
            held_out: predictor.measure(&model, &held_out)?.accuracy,
        };
        Ok(Trained { model, held_out, history, accuracies, checkpoint: None })
    }
}

impl LinearOptions {
    /// Checks that the options can train.
    ///
    /// # Errors
    /// With the option that cannot.
    pub fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        check_head_bits(self.head_bits)?;
        check_rates(self.rate, self.decay)
    }

    /// Progress after an epoch, reported as one step.
    pub(super) fn step(&self, epoch: usize, images: usize, seen: Measure, rate: f64) -> Step {
        let (done, count) = (images, images);
        let Measure { loss, accuracy } = seen;
        let (epochs, trainings) = (self.epochs, Some(1));
        Step { cycle: 0, epoch, epochs, trainings, done, count, loss, accuracy, rate }
    }
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

/// As [`fit`]; calls `hear` after each epoch with its number, its loss and accuracy, and the head.
///
/// # Errors
/// As [`fit`], and those of `hear`.
pub fn fit_heard(
    train: &Rows,
    classes: usize,
    options: &LinearOptions,
    hear: impl FnMut(usize, Measure, &Head) -> Result<()>,
) -> Result<Head> {
    let columns = Columns::all(train.values.size());
    fit_stepped((train, &columns), classes, options, (|_: &mut Head, _: Stepped<'_>| (), hear))
}

/// How a step was made.
#[derive(Clone, Copy)]
pub struct Stepped<'a> {
    /// Its rate.
    pub rate: f64,
    /// Moments of the weight, which is `[C, D]`.
    pub weight: &'a AdamW,
}

/// As [`fit_heard`], of some columns of the rows; calls the first function after each step, with the head that it made.
///
/// # Errors
/// As [`fit_heard`].
pub fn fit_stepped(
    (train, columns): (&Rows, &Columns),
    classes: usize,
    options: &LinearOptions,
    (mut stepped, mut hear): (
        impl FnMut(&mut Head, Stepped<'_>),
        impl FnMut(usize, Measure, &Head) -> Result<()>,
    ),
) -> Result<Head> {
    let width = columns.width();
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
        let mut seen = Scorer::new(&train.truths);
        for batch in order.chunks(options.batch) {
            let rate = cosine_with_warmup(&schedule, step);
            let features = columns.take(train.values.gather(batch)?);
            let features = Array2::from_shape_vec((batch.len(), width), features)?; // [n, D]
            let Gradient { weight, bias } = gradient(&head, (train, batch), &features, &mut seen);
            // All are made here in standard layout, so all are slices.
            if let (Some(values), Some(gradient)) = (head.weight.as_slice_mut(), weight.as_slice()) {
                weight_state.step(values, gradient, rate, options.decay);
            }
            if let (Some(values), Some(gradient)) = (head.bias.as_slice_mut(), bias.as_slice()) {
                bias_state.step(values, gradient, rate, 0.0);
            }
            stepped(&mut head, Stepped { rate, weight: &weight_state });
            step += 1;
        }
        hear(epoch, seen.measure(), &head)?;
    }
    Ok(head)
}

/// Gradient of the mean loss of all rows by the weight, where the weight is zero and the bias is fitted, as nothing holds it
/// down (Friedman et al. 2010).
///
/// # Errors
/// When kept rows cannot be read.
pub fn first_gradient(
    (train, columns): (&Rows, &Columns),
    classes: usize,
    batch: usize,
) -> Result<Array2<f32>> {
    let width = columns.width();
    let bias = Array1::from(train.truths.same_for_all(&train.classes, classes));
    let head = Head { weight: Array2::zeros((classes, width)), bias };
    let (mut all, mut seen) = (Array2::zeros((classes, width)), Scorer::new(&train.truths));
    let order: Vec<usize> = (0..train.classes.len()).collect();
    for batch in order.chunks(batch) {
        let features = columns.take(train.values.gather(batch)?);
        let features = Array2::from_shape_vec((batch.len(), width), features)?; // [n, D]
        let own = gradient(&head, (train, batch), &features, &mut seen).weight;
        all.scaled_add(batch.len() as f32 / order.len() as f32, &own);
    }
    Ok(all)
}

/// The gradient of a head.
struct Gradient {
    /// `[C, D]`.
    weight: Array2<f32>,
    /// `[C]`.
    bias: Array1<f32>,
}

/// Gradient of the mean loss: `dW = slopesᵀ f / n`, `db` its column mean. Adds answers to `seen`.
fn gradient(
    head: &Head,
    (train, batch): (&Rows, &[usize]),
    features: &Array2<f32>,
    seen: &mut Scorer,
) -> Gradient {
    let mut slopes = features.dot(&head.weight.t()) + &head.bias; // [n, C]
    for (mut row, &index) in slopes.rows_mut().into_iter().zip(batch) {
        let class = train.classes[index];
        seen.add(class, &row.to_vec());
        train.truths.slope(class, row.view_mut());
    }
    slopes /= batch.len() as f32;
    let weight = slopes.t().dot(features).as_standard_layout().into_owned();
    Gradient { weight, bias: slopes.sum_axis(Axis(0)) }
}
