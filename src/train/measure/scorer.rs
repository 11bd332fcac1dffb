//! Sums up what a model says of images, whatever its outputs mean.

use std::collections::BTreeMap;

use super::abstain::Confidence;
use super::error::Errors;
use super::ranking::{Ranked, average_precision, best_threshold};
use crate::train::data::truth::{Scale, Truths, cross_entropy, likeliest, logistic};

/// Threshold of a label that no held-out image has.
const THRESHOLD: f32 = 0.5;

/// What a model scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// Mean loss: cross-entropy, nats, or what the outputs' meaning has instead.
    pub loss: f64,
    /// Share of images whose likeliest class was theirs, 0 to 1, or the score of what outputs mean instead
    /// ([`ProblemType::score`](crate::pack::ProblemType::score)).
    pub accuracy: f64,
}

/// Answers on some images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scorer {
    truths: Truths,
    /// Sum of the images' losses.
    loss: f64,
    /// Class of each image.
    classes: Vec<usize>,
    /// How sure each answer was, where it is a class.
    confidences: Vec<Confidence>,
    /// Outputs of each image, row-major, where they are labels or values.
    outputs: Vec<f32>,
}

impl Scorer {
    /// No answers yet.
    pub fn new(truths: &Truths) -> Self {
        Self { truths: truths.clone(), ..Self::default() }
    }

    /// What the answers are compared with.
    pub fn truths(&self) -> &Truths {
        &self.truths
    }

    /// Images so far.
    pub fn count(&self) -> usize {
        self.classes.len()
    }

    /// Adds the answer on an image.
    pub fn add(&mut self, class: usize, logits: &[f32]) {
        self.loss += self.truths.loss_of(class, logits);
        self.classes.push(class);
        if self.truths != Truths::Classes {
            self.outputs.extend(logits);
        } else if let Some(predicted) = likeliest(logits) {
            let probability = (-cross_entropy(logits, predicted)).exp() as f32;
            self.confidences.push(Confidence { probability, is_right: predicted == class });
        }
    }

    /// Adds what another part of the images gave.
    pub fn join(&mut self, other: Self) {
        self.loss += other.loss;
        self.classes.extend(other.classes);
        self.confidences.extend(other.confidences);
        self.outputs.extend(other.outputs);
        if self.truths == Truths::Classes {
            self.truths = other.truths;
        }
    }

    /// Mean loss and score.
    pub fn measure(&self) -> Measure {
        Measure { loss: self.loss / self.count().max(1) as f64, accuracy: self.score() }
    }

    /// The share of right classes, the mean average precision of labels, or the mean R² of values.
    pub fn score(&self) -> f64 {
        match self.truths {
            Truths::Classes => self.right() as f64 / self.count().max(1) as f64,
            Truths::Labels(_) => {
                let each = (0..self.width()).filter_map(|label| average_precision(&self.ranked(label)));
                mean(&each.collect::<Vec<f64>>())
            }
            Truths::Values(_) => mean(&self.errors().iter().map(|error| error.r2).collect::<Vec<f64>>()),
        }
    }

    /// Images whose likeliest class was theirs.
    pub fn right(&self) -> usize {
        self.confidences.iter().filter(|answer| answer.is_right).count()
    }

    /// Mean over classes of the share of a class's images that were found: classes of few images count as much.
    pub fn macro_accuracy(&self) -> f64 {
        let mut classes: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (class, answer) in self.classes.iter().zip(&self.confidences) {
            let (right, all) = classes.entry(*class).or_default();
            *right += usize::from(answer.is_right);
            *all += 1;
        }
        mean(&classes.values().map(|&(right, all)| right as f64 / all as f64).collect::<Vec<f64>>())
    }

    /// How sure each answer was, where it is a class.
    pub fn confidences(&self) -> &[Confidence] {
        &self.confidences
    }

    /// Outputs of an image.
    fn width(&self) -> usize {
        self.outputs.len() / self.count().max(1)
    }

    /// Every image under a label.
    pub fn ranked(&self, label: usize) -> Vec<Ranked> {
        let rows = self.outputs.chunks(self.width().max(1)).zip(&self.classes);
        let ranked = |(row, &class): (&[f32], &usize)| {
            let applies = self.truths.row(class).get(label).is_some_and(|&truth| truth > 0.5);
            Ranked { score: logistic(row[label]), applies }
        };
        rows.map(ranked).collect()
    }

    /// For each label the threshold of its highest F1; none where outputs are no labels.
    pub fn thresholds(&self) -> Option<Vec<f32>> {
        let best = |label| best_threshold(&self.ranked(label)).unwrap_or(THRESHOLD);
        matches!(self.truths, Truths::Labels(_)).then(|| (0..self.width()).map(best).collect())
    }

    /// Errors of each value, in its own unit; none where outputs are no values.
    pub fn errors(&self) -> Vec<Errors> {
        let of = |value: usize| {
            let scale = self.truths.scales().get(value).copied().unwrap_or(Scale::NONE);
            let rows = self.outputs.chunks(self.width().max(1)).zip(&self.classes);
            let truth = |class| self.truths.row(class).get(value).copied().unwrap_or(f32::NAN);
            Errors::of(
                &rows.map(|(row, &class)| (scale.to_own(row[value]), truth(class))).collect::<Vec<_>>(),
            )
        };
        let width = if matches!(self.truths, Truths::Values(_)) { self.width() } else { 0 };
        (0..width).map(of).collect()
    }
}

/// 0 of none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
