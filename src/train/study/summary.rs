//! Means and deviations over seeds, as a table.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::contender::Contender;
use super::results::Point;

/// Runs of one contender up to one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Who.
    pub contender: Contender,
    /// Prunings before.
    pub cycle: usize,
    /// Whether it is the contender's last training.
    pub last: bool,
    /// Runs.
    pub seeds: usize,
    /// Epochs up to it.
    pub epochs: usize,
    /// Mean parameters of the adapters.
    pub adapter_parameters: f64,
    /// Mean count of sites with an adapter.
    pub adapters: f64,
    /// Mean FLOPs of one image.
    pub flops: f64,
    /// Mean accuracy on the held-out images, 0 to 1.
    pub mean: f64,
    /// Its standard deviation over seeds (n − 1); 0 for one seed.
    pub deviation: f64,
}

/// A comparison in lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By contender, then by training.
    pub lines: Vec<Line>,
    /// MiMi's gain over each other contender.
    pub gains: Vec<Gain>,
}

/// MiMi's last accuracy less another contender's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// The other.
    pub over: Contender,
    /// Mean over seeds.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

/// Groups points by contender and training.
pub fn summarise(points: &[Point]) -> Summary {
    let mut groups: BTreeMap<(Contender, usize), Vec<&Point>> = BTreeMap::new();
    for point in points {
        groups.entry((point.contender, point.cycle)).or_default().push(point);
    }
    let last = |contender| groups.keys().filter(|key| key.0 == contender).map(|key| key.1).max();
    let lines = groups.iter().map(|(&(who, cycle), group)| line(group, last(who) == Some(cycle)));
    Summary { lines: lines.collect(), gains: gains(points) }
}

fn line(group: &[&Point], last: bool) -> Line {
    let mean = |of: &dyn Fn(&Point) -> f64| moments(group.iter().map(|point| of(point))).0;
    let (accuracy, deviation) = moments(group.iter().map(|point| point.accuracy));
    let first = group[0];
    Line {
        contender: first.contender,
        cycle: first.cycle,
        last,
        seeds: group.len(),
        epochs: first.epochs,
        adapter_parameters: mean(&|point| point.adapter_parameters as f64),
        adapters: mean(&|point| point.adapters as f64),
        flops: mean(&|point| point.flops as f64),
        mean: accuracy,
        deviation,
    }
}

/// Mean and standard deviation (n − 1).
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() < 2 { 0.0 } else { (square / (count - 1.0)).sqrt() })
}

/// Paired by seed: what chance the seed brings both is not counted as a difference.
fn gains(points: &[Point]) -> Vec<Gain> {
    let mut ends: BTreeMap<Contender, BTreeMap<u64, &Point>> = BTreeMap::new();
    for point in points {
        let end = ends.entry(point.contender).or_default().entry(point.seed).or_insert(point);
        if point.cycle > end.cycle {
            *end = point;
        }
    }
    let Some(mimi) = ends.remove(&Contender::Mimi) else { return Vec::new() };
    let gain = |(over, others): (Contender, BTreeMap<u64, &Point>)| {
        let pairs = others.iter().filter_map(|(seed, other)| mimi.get(seed).map(|own| (own, other)));
        let differences: Vec<f64> = pairs.map(|(own, other)| own.accuracy - other.accuracy).collect();
        let count = differences.len() as f64;
        let (mean, deviation) = moments(differences.into_iter());
        (count > 0.0).then_some(Gain { over, mean, error: deviation / count.sqrt() })
    };
    ends.into_iter().filter_map(gain).collect()
}

impl fmt::Display for Summary {
    /// Two Markdown tables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::from(
            "| method | epochs | adapter parameters | adapters | GFLOPs | held-out accuracy, % | seeds |\n\
             |---|--:|--:|--:|--:|--:|--:|\n",
        );
        for line in &self.lines {
            let name = if line.last {
                line.contender.to_string()
            } else {
                format!("{} ({})", line.contender, line.cycle + 1)
            };
            writeln!(
                out,
                "| {name} | {} | {:.0} | {:.1} | {:.3} | {:.2} ± {:.2} | {} |",
                line.epochs,
                line.adapter_parameters,
                line.adapters,
                line.flops / 1e9,
                100.0 * line.mean,
                100.0 * line.deviation,
                line.seeds
            )?;
        }
        for Gain { over, mean, error } in &self.gains {
            writeln!(out, "\nmimi − {over}: {:+.2} ± {:.2} points", 100.0 * mean, 100.0 * error)?;
        }
        f.write_str(&out)
    }
}
