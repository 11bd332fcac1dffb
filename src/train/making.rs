//! How a model came to be: what a pack's provenance keeps of it.

use serde_json::{Map, Value, json};

use super::linear::LinearOptions;
use super::model::Model;
use super::options::{MimiOptions, Target};
use super::progress::Cycle;

/// A pack's accuracy and how it came to be.
pub(super) struct Making {
    pub method: &'static str,
    pub validation_accuracy: f64,
    pub details: Map<String, Value>,
}

/// Settings of a head alone.
pub(super) fn linear_details(linear: &LinearOptions) -> Map<String, Value> {
    let LinearOptions { epochs, batch, rate, decay, seed } = linear;
    let pairs = [
        ("epochs", json!(epochs)),
        ("batch", json!(batch)),
        ("learning_rate", json!(rate)),
        ("weight_decay", json!(decay)),
        ("order_seed", json!(seed)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// How a model of this training came to be, with its accuracy on the training images.
pub(super) fn mimi_making(mimi: &MimiOptions, cycles: &[Cycle], model: &Model) -> (Making, f64) {
    // With an accuracy for target the model may be the last but one.
    let own = cycles.iter().rev().find(|cycle| cycle.neurons == model.neurons());
    let train_accuracy = own.map_or(0.0, |cycle| cycle.train_accuracy);
    let MimiOptions { sigma, target, rho, score, selection, init, first_block, .. } = mimi;
    let pairs = [
        ("sigma_0", json!(sigma)),
        ("target", json!(target)),
        ("rho", json!(rho)),
        ("score", json!(score)),
        ("selection", json!(selection)),
        ("init", json!(init)),
        ("first_block", json!(first_block)),
        ("epochs_per_cycle", json!(mimi.epochs)),
        ("batch", json!(mimi.batch)),
        ("learning_rate", json!(mimi.rate)),
        ("weight_decay", json!(mimi.step.decay)),
        ("clip", json!(mimi.step.clip)),
        ("smoothing", json!(mimi.smoothing)),
        ("augment", json!(mimi.augment)),
        ("training_seed", json!(mimi.seed)),
        ("sigma", json!(own.map(|cycle| cycle.sigma))),
        ("train_accuracy", json!(train_accuracy)),
        ("cycles", json!(cycles)),
    ];
    let details = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let method = if *target == Target::Never { "adapters" } else { "mimi" };
    let validation_accuracy = own.map_or(0.0, |cycle| cycle.validation_accuracy);
    (Making { method, validation_accuracy, details }, train_accuracy)
}
