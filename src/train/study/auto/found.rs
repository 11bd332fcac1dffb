//! What a choice found: everything that its report tells.

use serde::Serialize;

use super::asked::{Limit, Prefer};
use crate::train::study::run::Cost;
use crate::train::study::statistics::{discordant, mcnemar};

/// What a choice found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Version of this software.
    pub version: String,
    /// The task's name.
    pub task: String,
    /// The backbone's name.
    pub backbone: String,
    /// SHA-256 of its weights.
    pub fingerprint: String,
    /// How long it might take.
    pub limit: Limit,
    /// What decided among those that were as good.
    pub prefer: Prefer,
    /// Seed of the split, of first values and of orders.
    pub seed: u64,
    /// Training images that candidates were trained on.
    pub trained: usize,
    /// Training images that they were measured on.
    pub measured: usize,
    /// Every training that was made, in order.
    pub tried: Vec<Tried>,
    /// Candidates that did not take part, with the reason.
    pub left_out: Vec<Absent>,
    /// The chosen candidate's name.
    pub chosen: String,
    /// Why it was chosen.
    pub reason: String,
    /// Epochs of its own training, on all training images; its trainings together.
    pub epochs: usize,
    /// An ordinary command that trains the same.
    pub command: String,
    /// The chosen one against the head alone, both trained on all training images; none where the head was chosen.
    pub against: Option<Against>,
    /// Why it was not set against the head alone, where it should have been.
    pub unmatched: Option<String>,
    /// Seconds in all.
    pub seconds: f64,
}

/// A candidate that did not take part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absent {
    /// The candidate.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A training that was made to choose by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The candidate.
    pub name: String,
    /// The rung, from 1; 0 of what is trained whole at once.
    pub rung: usize,
    /// Epochs, its trainings together.
    pub epochs: usize,
    /// Steps.
    pub steps: usize,
    /// Share of the images chosen by that it was right on; none, as what follows, where it gave nothing.
    pub accuracy: Option<f64>,
    /// What it costs.
    pub cost: Option<Cost>,
    /// Seconds of this training.
    pub seconds: Option<f64>,
    /// What became of it.
    pub fate: String,
}

/// Two models on images that neither was trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// Which images.
    pub images: String,
    /// How many.
    pub count: usize,
    /// Share that the chosen one is right on.
    pub accuracy: f64,
    /// Share that the head alone is right on.
    pub head: f64,
    /// Images that only the chosen one is right on.
    pub only_chosen: usize,
    /// Images that only the head alone is right on.
    pub only_head: usize,
    /// Two-sided p of McNemar's exact test.
    pub p: f64,
}

impl Against {
    /// Of answers on the same images, image by image.
    pub fn of(images: String, chosen: &[bool], head: &[bool]) -> Self {
        let share = |answers: &[bool]| {
            answers.iter().filter(|&&right| right).count() as f64 / answers.len().max(1) as f64
        };
        let (only_chosen, only_head) = discordant(chosen, head);
        Self {
            images,
            count: chosen.len(),
            accuracy: share(chosen),
            head: share(head),
            only_chosen,
            only_head,
            p: mcnemar(only_chosen, only_head),
        }
    }
}
