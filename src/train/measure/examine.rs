//! What a model makes of held-out images, image by image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::predict::{Measure, Predictor, cross_entropy, likeliest};
use crate::train::data::rows::Rows;
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
    /// Cross-entropy, nats.
    pub loss: f64,
    /// Probability of the likeliest class, 0 to 1.
    pub confidence: f64,
}

impl Examination {
    /// Adds what another part of the images gave, keeping the `keep` hardest of all.
    pub fn add(&mut self, other: Self, keep: usize) {
        let count = |part: &Self| part.confusion.values().sum::<usize>() as f64;
        let (own, more) = (count(self), count(&other));
        let all = (own + more).max(1.0);
        self.measure.loss = (self.measure.loss * own + other.measure.loss * more) / all;
        for (pair, count) in other.confusion {
            *self.confusion.entry(pair).or_default() += count;
        }
        let right = self.confusion.iter().filter(|((truth, taken), _)| truth == taken);
        self.measure.accuracy = right.map(|(_, &count)| count).sum::<usize>() as f64 / all;
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
    let (mut found, mut right) = (Examination::default(), 0);
    predictor.each(model, rows, |index, logits| {
        let class = rows.classes[index];
        let Some(predicted) = likeliest(logits) else { return };
        let loss = cross_entropy(logits, class);
        found.measure.loss += loss;
        right += usize::from(predicted == class);
        *found.confusion.entry((class, predicted)).or_default() += 1;
        let confidence = (-cross_entropy(logits, predicted)).exp();
        found.hardest.push(Verdict { path: rows.paths[index].clone(), class, predicted, loss, confidence });
    })?;
    let count = rows.len().max(1) as f64;
    found.measure = Measure { loss: found.measure.loss / count, accuracy: right as f64 / count };
    found.hardest.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    found.hardest.truncate(keep);
    Ok(found)
}
