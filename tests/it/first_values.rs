//! What scores see under first values: with a second matrix of zeros, the paper's score ranks chance before it ranks learning.

use mimi_server::graph::ParameterName;
use mimi_server::pack;
use mimi_server::train::{
    Evidence, Gradients, Init, MimiOptions, Model, Normaliser, Score, Scores, State, Target, scores,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::mimi::{mimi, run, task};
use crate::server::World;
use crate::train::dataset;

const EQUATION_3: Score = Score::Magnitude(Normaliser::Weights);
const PRODUCT: Score = Score::Product(Normaliser::Weights);

fn of(model: &Model, score: Score) -> Scores {
    let evidence = Evidence { gradients: &Gradients::default(), activity: None };
    scores(model, score, evidence, || 0.0).unwrap()
}

fn flat(scores: &Scores) -> Vec<f64> {
    scores.values().flatten().copied().collect()
}

/// Spearman's rank correlation.
fn agreement(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|v| values.iter().filter(|other| *other < v).count() as f64).collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
}

fn began(options: &MimiOptions, world: &World) -> Model {
    State::new(&world.tiny.config, 3, options).model
}

#[test]
fn a_first_row_of_384_weights_sums_to_six() {
    // Σ|w| of M normal weights of deviation s has mean M s √(2/π) and deviation s √(M (1 − 2/π)): 6.13 ± 0.24.
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let sums: Vec<f64> = (0..500)
        .map(|_| Init::Identity.down(&mut random, 384, 384).iter().map(|w| f64::from(w.abs())).sum())
        .collect();
    let mean = sums.iter().sum::<f64>() / 500.0;
    let deviation = (sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 499.0).sqrt();
    assert!((mean - 6.128).abs() < 0.04 && (deviation - 0.236).abs() < 0.03, "{mean} {deviation}");
    assert!(Init::Identity.up(&mut random, 384, 8).iter().all(|w| *w == 0.0));
}

#[test]
fn before_training_equation_3_ranks_chance_and_the_product_ranks_nothing() {
    let world = World::new();
    let model = began(&MimiOptions { init: Init::Identity, ..mimi() }, &world);
    let (magnitude, product) = (flat(&of(&model, EQUATION_3)), flat(&of(&model, PRODUCT)));
    let other = began(&MimiOptions { init: Init::Identity, seed: 5, ..mimi() }, &world);
    let chance = agreement(&magnitude, &flat(&of(&other, EQUATION_3)));
    assert!(chance.abs() < 0.4, "another seed ranks otherwise: {chance}");
    assert!(magnitude.iter().all(|score| *score > 0.0));
    assert!(product.iter().all(|score| *score == 0.0), "a neuron that adds nothing is worth nothing");
}

#[test]
fn after_a_short_training_equation_3_still_ranks_first_values_and_the_product_less_so() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options =
        MimiOptions { init: Init::Identity, target: Target::Never, epochs: 2, rate: 1e-3, ..mimi() };
    let first = flat(&of(&began(&options, &world), EQUATION_3));
    let report = run(&world, &task(&world, data.path(), options.clone()));
    let pack = pack::read(&report.folder, &world.tiny.config).unwrap().0;
    let mut model = began(&options, &world);
    for (name, parameter) in model.parameters.iter_mut() {
        if let ParameterName::Module(module, part) = name {
            parameter.values = pack.weights[&module].part(part).to_vec();
        }
    }
    let (magnitude, product) = (flat(&of(&model, EQUATION_3)), flat(&of(&model, PRODUCT)));
    let up: f64 = product.iter().sum();
    assert!(up > 0.0, "something was learned");
    let (by_equation_3, by_product) = (agreement(&first, &magnitude), agreement(&first, &product));
    // Adam moves every weight of the second matrix at about one speed, so the product's rank is not free of chance either.
    assert!(by_equation_3 > 0.9, "{by_equation_3}");
    assert!(by_product < by_equation_3 - 0.15, "{by_product} {by_equation_3}");
}

#[test]
fn the_product_does_not_care_in_which_matrix_the_scale_is() {
    let world = World::new();
    let model = began(&MimiOptions { init: Init::Normal, ..mimi() }, &world);
    let mut moved = model.clone();
    for (name, parameter) in moved.parameters.iter_mut() {
        let factor = match name {
            ParameterName::Module(module, _) if name == ParameterName::down(module) => 4.0,
            ParameterName::Module(..) => 0.25,
            _ => 1.0,
        };
        parameter.values.iter_mut().for_each(|value| *value *= factor);
    }
    assert_eq!(flat(&of(&model, PRODUCT)), flat(&of(&moved, PRODUCT)), "powers of two are exact");
    assert_ne!(flat(&of(&model, EQUATION_3)), flat(&of(&moved, EQUATION_3)));
}
