//! Means and deviations of a comparison's runs, by method, on each set and over all.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Purpose, Run};

/// Runs of one method, on one set or on all.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The method.
    pub method: String,
    /// Seeds.
    pub seeds: usize,
    /// Mean accuracy, 0 to 1.
    pub accuracy: f64,
    /// Its standard deviation over seeds (n − 1); none for one seed.
    pub deviation: Option<f64>,
    /// Mean accuracy as a mean over classes, 0 to 1.
    pub macro_accuracy: f64,
    /// Mean accuracy on the training images in the last epoch, 0 to 1.
    pub train_accuracy: f64,
    /// Mean count of parameters trained, without the head.
    pub trained_parameters: f64,
    /// The same with the head.
    pub parameters: f64,
    /// Mean bytes of the pack; none where there is no pack.
    pub pack_bytes: Option<f64>,
    /// Mean FLOPs of one image.
    pub flops: f64,
    /// Mean FLOPs of one image under eight tasks.
    pub flops_of_8: f64,
    /// Mean steps.
    pub steps: f64,
    /// Mean seconds of training.
    pub seconds: f64,
}

/// A table: a set's, or that of all sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings {
    /// The set; none for the mean over all.
    pub set: Option<String>,
    /// The methods, best first.
    pub lines: Vec<Standing>,
}

/// Each set by itself, and behind them the mean over all where there are several.
pub fn standings(runs: &[Run]) -> Vec<Standings> {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.plan.purpose == Purpose::Result).collect();
    let mut sets: Vec<&str> = runs.iter().map(|run| run.plan.set.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    let of = |set: &str| -> Vec<&Run> { runs.iter().copied().filter(|run| run.plan.set == set).collect() };
    let mut all: Vec<Standings> =
        sets.iter().map(|set| Standings::of(Some((*set).to_owned()), &of(set), 1)).collect();
    if sets.len() > 1 {
        all.push(Standings::of(None, &runs, sets.len()));
    }
    all
}

impl Standings {
    /// Methods and seeds that have a run on each of `sets` sets.
    fn of(set: Option<String>, runs: &[&Run], sets: usize) -> Self {
        let methods: BTreeSet<&str> = runs.iter().map(|run| run.plan.method.as_str()).collect();
        let line = |method| {
            let mut seeds: BTreeMap<u64, Vec<&Run>> = BTreeMap::new();
            for run in runs.iter().filter(|run| run.plan.method == method) {
                seeds.entry(run.plan.seed).or_default().push(run);
            }
            let whole: Vec<Vec<&Run>> = seeds.into_values().filter(|own| own.len() == sets).collect();
            (!whole.is_empty()).then(|| Standing::of(method, &whole))
        };
        let mut lines: Vec<Standing> = methods.into_iter().filter_map(line).collect();
        lines.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
        Self { set, lines }
    }
}

impl Standing {
    /// Of one method: its runs, seed by seed.
    fn of(method: &str, seeds: &[Vec<&Run>]) -> Self {
        let over = |of: &dyn Fn(&Run) -> f64| mean(seeds.iter().flatten().map(|run| of(run)));
        let accuracies = seeds.iter().map(|own| mean(own.iter().map(|run| run.figures.accuracy)));
        let accuracies: Vec<f64> = accuracies.collect();
        let packs: Option<Vec<u64>> = seeds.iter().flatten().map(|run| run.figures.cost.pack_bytes).collect();
        Self {
            method: method.to_owned(),
            seeds: seeds.len(),
            accuracy: mean(accuracies.iter().copied()),
            deviation: deviation(&accuracies),
            macro_accuracy: over(&|run| run.figures.macro_accuracy),
            train_accuracy: over(&|run| run.figures.train_accuracy),
            trained_parameters: over(&|run| run.figures.cost.trained_parameters as f64),
            parameters: over(&|run| run.parameters() as f64),
            pack_bytes: packs.map(|bytes| mean(bytes.into_iter().map(|bytes| bytes as f64))),
            flops: over(&|run| run.figures.cost.flops as f64),
            flops_of_8: over(&|run| run.figures.cost.flops_of_8 as f64),
            steps: over(&|run| run.steps as f64),
            seconds: over(&|run| run.figures.train_seconds),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation (n − 1); none of one value.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values.iter().copied());
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (square / (values.len() as f64 - 1.0)).sqrt())
}
