//! What images gave for each label or value by itself.

use serde::Serialize;

use super::abstain::Abstention;
use super::error::Errors;
use super::ranking::{Counts, average_precision};
use super::scorer::Scorer;
use crate::pack::Decision;
use crate::train::data::truth::Truths;

/// What images gave for one label or value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Judged {
    /// A label.
    Label {
        /// Its name.
        label: String,
        /// Images that have it.
        images: usize,
        /// Average precision, which no threshold changes; none where no image has it.
        average_precision: Option<f64>,
        /// The threshold of its answers.
        threshold: f32,
        /// Share of the images said to have it that do.
        precision: f64,
        /// Share of the images that have it that are said to.
        recall: f64,
        /// Harmonic mean of precision and recall.
        f1: f64,
    },
    /// A value.
    Value {
        /// Its name.
        value: String,
        /// Mean absolute error, in the value's unit.
        mean_absolute_error: f64,
        /// Root of the mean squared error, in the value's unit.
        root_mean_square_error: f64,
        /// Share of the variance that the answers explain.
        r2: f64,
    },
}

/// What a pack's answers were on some images, beyond their score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Each label or value by itself.
    pub judged: Vec<Judged>,
    /// How sure an answer must be, and what that gives, where a pack abstains.
    pub abstention: Option<Abstention>,
}

impl Answers {
    /// Of a pack with these outputs and this way to answer.
    pub fn of(scorer: &Scorer, names: &[String], decision: &Decision) -> Self {
        let abstention = decision.abstain_below.filter(|_| scorer.count() > 0);
        Self {
            judged: if scorer.count() > 0 {
                judged(scorer, names, |at| decision.threshold(at))
            } else {
                Vec::new()
            },
            abstention: abstention.map(|below| Abstention::at(below, scorer.confidences())),
        }
    }
}

/// Judges each label, at its threshold, or each value; nothing where outputs are classes.
fn judged(scorer: &Scorer, names: &[String], threshold: impl Fn(usize) -> f32) -> Vec<Judged> {
    match scorer.truths() {
        Truths::Classes => Vec::new(),
        Truths::Labels(_) => {
            names.iter().enumerate().map(|(at, name)| label(scorer, (at, name), threshold(at))).collect()
        }
        Truths::Values(_) => {
            names.iter().zip(scorer.errors()).map(|(name, errors)| value(name, errors)).collect()
        }
    }
}

fn label(scorer: &Scorer, (place, name): (usize, &String), threshold: f32) -> Judged {
    let ranked = scorer.ranked(place);
    let counts = Counts::at(threshold, &ranked);
    Judged::Label {
        label: name.clone(),
        images: counts.hits + counts.misses,
        average_precision: average_precision(&ranked),
        threshold,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
    }
}

fn value(name: &str, errors: Errors) -> Judged {
    let Errors { mean_absolute, root_mean_square, r2 } = errors;
    Judged::Value {
        value: name.to_owned(),
        mean_absolute_error: mean_absolute,
        root_mean_square_error: root_mean_square,
        r2,
    }
}
