//! Heads of several labels and of values: scikit-learn's scores, packs of format 2, and what is trained is what is served.

/// When an answer is only a guess.
mod abstaining;
/// The pooled feature under a task or none.
mod embedding;
/// Lists of several labels and of values.
mod lists;
/// What a pack says of its outputs.
mod manifests;
/// Trained, measured and served.
mod served;

use std::sync::Arc;

use mimi_server::train::{
    Errors, Ranked, Ranks, Scale, Scorer, Truths, Values, average_precision, best_threshold,
};
use ndarray::ArrayViewMut1;

use crate::support::{Fixture, assert_close};

/// The labels of the fixture as ranked images, and the outputs' number.
fn ranked(fixture: &Fixture) -> Vec<Vec<Ranked>> {
    let (logits, labels) = (&fixture.tensors["logits"], &fixture.tensors["labels"]);
    let outputs = logits.shape[1];
    let one = |at: usize| {
        let score = 1.0 / (1.0 + (-logits.data[at]).exp());
        Ranked { score, applies: labels.data[at] > 0.5 }
    };
    let column = |label| (0..logits.shape[0]).map(|row| one(row * outputs + label)).collect();
    (0..outputs).map(column).collect()
}

/// The rows of a fixture's matrix.
fn rows(fixture: &Fixture, name: &str) -> Vec<Vec<f32>> {
    let tensor = &fixture.tensors[name];
    tensor.data.chunks(tensor.shape[1]).map(<[f32]>::to_vec).collect()
}

#[test]
fn rankings_equal_scikit_learn() {
    let fixture = Fixture::named("heads");
    let labels = ranked(&fixture);
    let score = |name: &str| fixture.tensors[&format!("score/{name}")].data.clone();
    let found: Vec<f32> = labels.iter().filter_map(|one| average_precision(one)).map(|x| x as f32).collect();
    assert_close("average precision", &found, &score("average_precision"), 1e-6);
    assert_eq!(average_precision(&labels[4]), None, "no image has the last label");
    let best = labels.iter().filter_map(|one| Some(Ranks::at(best_threshold(one)?, one).f1() as f32));
    assert_close("best F1", &best.collect::<Vec<_>>(), &score("best_f1"), 1e-6);
    let at: Vec<Ranks> = labels.iter().map(|one| Ranks::at(0.3, one)).collect();
    let each = |of: fn(&Ranks) -> f64| at.iter().map(|counts| of(counts) as f32).collect::<Vec<_>>();
    assert_close("precision", &each(Ranks::precision), &score("precision"), 1e-6);
    assert_close("recall", &each(Ranks::recall), &score("recall"), 1e-6);
    assert_close("F1", &each(Ranks::f1), &score("f1"), 1e-6);
}

#[test]
fn errors_equal_scikit_learn_and_a_scorer_sums_both_up_with_pytorchs_losses() {
    let fixture = Fixture::named("heads");
    let score = |name: &str| fixture.tensors[&format!("score/{name}")].data.clone();
    let (logits, values) = (rows(&fixture, "logits"), rows(&fixture, "values"));
    let scales = vec![Scale::NONE; values[0].len()];
    let truths = Truths::Values(Arc::new(Values { rows: values, scales }));
    let mut scorer = Scorer::new(&truths);
    logits.iter().enumerate().for_each(|(row, logits)| scorer.add(row, logits));
    let each = |of: fn(&Errors) -> f64| scorer.errors().iter().map(|e| of(e) as f32).collect::<Vec<_>>();
    assert_close("R²", &each(|e| e.r2), &score("r2"), 1e-4);
    assert_close("MAE", &each(|e| e.mean_absolute), &score("mae"), 1e-5);
    assert_close("RMSE", &each(|e| e.root_mean_square), &score("rmse"), 1e-5);
    let mean = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
    assert!((scorer.score() - mean(&score("r2"))).abs() < 1e-4);
    let loss = |name: &str| f64::from(fixture.tensors[&format!("{name}/loss")].data[0]);
    assert!((scorer.measure().loss - loss("mse")).abs() < 1e-5 * loss("mse"));

    let truths = Truths::Labels(rows(&fixture, "labels").into());
    let mut scorer = Scorer::new(&truths);
    logits.iter().enumerate().for_each(|(row, logits)| scorer.add(row, logits));
    // The label that no image has counts for nothing.
    assert!((scorer.score() - mean(&score("average_precision"))).abs() < 1e-6);
    assert!((scorer.measure().loss - loss("bce")).abs() < 1e-5 * loss("bce"));
    let thresholds = scorer.thresholds().unwrap();
    assert_eq!((thresholds.len(), thresholds[4]), (5, 0.5));
}

#[test]
fn slopes_of_a_head_alone_equal_pytorch() {
    let fixture = Fixture::named("heads");
    let (values, labels) = (rows(&fixture, "values"), rows(&fixture, "labels"));
    let scales = vec![Scale::NONE; values[0].len()];
    let values = Truths::Values(Arc::new(Values { rows: values, scales }));
    for (name, truths) in [("bce", Truths::Labels(labels.into())), ("mse", values)] {
        let mut slopes = rows(&fixture, "logits");
        let count = slopes.len() as f32;
        for (row, slope) in slopes.iter_mut().enumerate() {
            truths.slope(row, ArrayViewMut1::from(&mut slope[..]));
            slope.iter_mut().for_each(|x| *x /= count);
        }
        let expected = &fixture.tensors[&format!("{name}/grad")].data;
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert_close(name, &slopes.concat(), expected, 1e-4 * largest);
    }
}

#[test]
fn values_of_an_image_come_back_from_the_unit_they_are_trained_in() {
    let scale = Scale { mean: 40.0, deviation: 12.5 };
    for value in [-3.0f32, 0.0, 40.0, 91.25] {
        assert!((scale.to_own(scale.to_trained(value)) - value).abs() < 1e-4);
    }
}
