//! What a study's comparisons gave: gains paired by set and seed, with intervals and tests.

use std::collections::BTreeMap;

use super::protocol::{Comparison, Measured, Protocol};
use super::run::{Figures, Purpose, Run};
use super::statistics::{Interval, Pairs, bootstrap, holm, sign_flip, wilcoxon};

/// Least pairs by which an interval shows anything.
const LEAST: usize = 3;

/// A comparison with what it gave: points of accuracy, or ratios of costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// What was compared.
    pub comparison: Comparison,
    /// Sets with at least one pair, in the protocol's order, and their mean gains.
    pub sets: Vec<Gained>,
    /// Pairs in all.
    pub pairs: usize,
    /// Mean of the sets' means; none without a pair.
    pub estimate: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// The exact sign-flip test, on these sets.
    pub p: Option<f64>,
    /// The same for the family of comparisons together (Holm).
    pub adjusted: Option<f64>,
    /// Wilcoxon's test over sets.
    pub over_sets: Option<f64>,
}

/// What a set gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Gained {
    /// The set.
    pub set: String,
    /// Gain of each seed in points, or ratio of costs, in their order.
    pub gains: Vec<f64>,
}

/// What a comparison's success is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No pair was run.
    Open,
    /// The gain is below the bound, or the ratio above it.
    Missed,
    /// The gain is at least the bound, the interval's lower end is not.
    Met,
    /// So is the interval's lower end, of three pairs or more; or the ratio is at most the bound.
    Shown,
}

impl Effect {
    /// Whether it is a gain in points, of which there is a test; a ratio of costs is exact.
    pub fn is_gain(&self) -> bool {
        self.comparison.measure == Measured::Accuracy
    }

    /// Whether the comparison succeeded by what the protocol says.
    pub fn verdict(&self) -> Verdict {
        let (Some(estimate), Some(interval)) = (self.estimate, self.interval) else { return Verdict::Open };
        let bound = self.comparison.bound();
        if !self.is_gain() {
            return if estimate <= bound { Verdict::Shown } else { Verdict::Missed };
        }
        match bound {
            bound if estimate < bound => Verdict::Missed,
            bound if interval.low < bound || self.pairs < LEAST => Verdict::Met,
            _ => Verdict::Shown,
        }
    }
}

/// Every comparison of a protocol.
pub fn effects(protocol: &Protocol, runs: &[Run]) -> Vec<Effect> {
    let cells = Cells::of(runs);
    let mut all: Vec<Effect> =
        protocol.comparisons.iter().map(|comparison| effect(protocol, comparison, &cells)).collect();
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, one) in all.iter().enumerate().filter(|(_, one)| one.p.is_some()) {
        families.entry(one.comparison.family.clone()).or_default().push(index);
    }
    for family in families.into_values() {
        let p_values: Vec<f64> = family.iter().filter_map(|&index| all[index].p).collect();
        for (index, adjusted) in family.into_iter().zip(holm(&p_values)) {
            all[index].adjusted = Some(adjusted);
        }
    }
    all
}

/// Results by set, arm and seed.
struct Cells<'a>(BTreeMap<(&'a str, &'a str, u64), &'a Run>);

impl<'a> Cells<'a> {
    fn of(runs: &'a [Run]) -> Self {
        let results = runs.iter().filter(|run| run.plan.purpose == Purpose::Result);
        let cell = |run: &'a Run| ((run.plan.set.as_str(), run.plan.method.as_str(), run.plan.seed), run);
        Self(results.map(cell).collect())
    }

    /// Gains of a comparison on a set. Runs on other images or of other lengths are no pair.
    fn gains(&self, comparison: &Comparison, set: &str, seeds: &[u64]) -> Vec<f64> {
        let gain = |&seed: &u64| {
            let of = self.0.get(&(set, comparison.of.as_str(), seed))?;
            let over = self.0.get(&(set, comparison.over.as_str(), seed))?;
            let is_pair = of.plan.images == over.plan.images && of.steps == over.steps;
            if is_pair { compared(comparison.measure, &of.figures, &over.figures) } else { None }
        };
        seeds.iter().filter_map(gain).collect()
    }
}

fn compared(measure: Measured, of: &Figures, over: &Figures) -> Option<f64> {
    let ratio = |of: u64, over: u64| of as f64 / over as f64;
    match measure {
        Measured::Accuracy => Some(100.0 * (of.accuracy - over.accuracy)),
        Measured::FlopsOf8 => Some(ratio(of.cost.flops_of_8, over.cost.flops_of_8)),
        Measured::AdapterBytes => Some(ratio(of.cost.adapter_bytes?, over.cost.adapter_bytes?)),
    }
}

fn effect(protocol: &Protocol, comparison: &Comparison, cells: &Cells<'_>) -> Effect {
    let own = protocol.sets.iter().filter(|set| comparison.is_on(&set.name));
    let gained = own.map(|set| Gained {
        set: set.name.clone(),
        gains: cells.gains(comparison, &set.name, &protocol.seeds),
    });
    let sets: Vec<Gained> = gained.filter(|gained| !gained.gains.is_empty()).collect();
    let pairs = Pairs { sets: sets.iter().map(|gained| gained.gains.clone()).collect() };
    let is_gain = comparison.measure == Measured::Accuracy;
    Effect {
        comparison: comparison.clone(),
        pairs: pairs.count(),
        estimate: (!sets.is_empty()).then(|| pairs.estimate()),
        interval: bootstrap(&pairs),
        p: is_gain.then(|| sign_flip(&pairs)).flatten(),
        adjusted: None,
        over_sets: is_gain.then(|| wilcoxon(&pairs.means())).flatten(),
        sets,
    }
}
