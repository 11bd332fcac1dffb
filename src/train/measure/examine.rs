//! What a model makes of held-out images, image by image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::predict::{Measure, Predictor};
use super::scorer::Scorer;
use crate::train::data::rows::Rows;
use crate::train::data::truth::{Truths, cross_entropy, likeliest};
use crate::train::model::Model;

/// Every answer of a model on some images, summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examination {
    /// Loss and accuracy.
    pub measure: Measure,
    /// Images by true and predicted class; pairs that did not occur are not here.
    pub confusion: BTreeMap<(usize, usize), usize>,
    /// The images with the highest loss, highest first.
    pub hardest: Vec<Verdict>,
    /// All answers, to be scored in other ways.
    pub scorer: Scorer,
}

/// A model's answer on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The file.
    pub path: PathBuf,
    /// Its class.
    pub class: usize,
    /// The likeliest class.
    pub predicted: usize,
    /// Loss: cross-entropy, nats, where it is of classes.
    pub loss: f64,
    /// Probability of the likeliest class, 0 to 1.
    pub confidence: f64,
    /// The outputs, where they are labels or values.
    pub outputs: Vec<f32>,
}

impl Examination {
    /// Adds what another part of the images gave, keeping the `keep` hardest of all.
    pub fn add(&mut self, other: Self, keep: usize) {
        self.scorer.join(other.scorer);
        self.measure = self.scorer.measure();
        for (pair, count) in other.confusion {
            *self.confusion.entry(pair).or_default() += count;
        }
        self.hardest.extend(other.hardest);
        self.hardest.sort_by(|a, b| b.loss.total_cmp(&a.loss));
        self.hardest.truncate(keep);
    }
}

impl Verdict {
    /// Probability of the true class, 0 to 1.
    pub fn probability(&self) -> f64 {
        (-self.loss).exp()
    }
}

/// Runs the model over `rows` and keeps the `keep` hardest.
///
/// # Errors
/// When a run fails.
pub fn examine(predictor: &mut Predictor, model: &Model, rows: &Rows, keep: usize) -> Result<Examination> {
    let mut found = Examination { scorer: Scorer::new(&rows.truths), ..Examination::default() };
    predictor.each(model, rows, |index, logits| {
        let class = rows.classes[index];
        found.scorer.add(class, logits);
        let (path, loss) = (rows.paths[index].clone(), rows.truths.loss_of(class, logits));
        let mut verdict =
            Verdict { path, class, predicted: class, loss, confidence: 0.0, outputs: Vec::new() };
        match (&rows.truths, likeliest(logits)) {
            (Truths::Classes, Some(predicted)) => {
                *found.confusion.entry((class, predicted)).or_default() += 1;
                verdict.predicted = predicted;
                verdict.confidence = (-cross_entropy(logits, predicted)).exp();
            }
            (Truths::Classes, None) => return,
            _ => verdict.outputs = logits.to_vec(),
        }
        found.hardest.push(verdict);
    })?;
    found.measure = found.scorer.measure();
    found.hardest.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    found.hardest.truncate(keep);
    Ok(found)
}
