//! What a study's comparisons gave: gains paired by set and seed, with intervals and tests.

use std::collections::BTreeMap;

use super::protocol::{Comparison, Measured, Protocol};
use super::run::{Figures, Purpose, Run};
use super::statistics::{Interval, Pairs, bootstrap, holm, sign_flip, wilcoxon};

/// The chance of a false finding that is allowed.
const LEVEL: f64 = 0.05;

/// A comparison with what it gave: points of accuracy, or ratios of costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// What was compared.
    pub comparison: Comparison,
    /// Sets with at least one pair, in the protocol's order, and their mean gains.
    pub sets: Vec<Gained>,
    /// Pairs in all.
    pub pairs: usize,
    /// Pairs that the protocol asks for: of the first sets alone where the stop rule closed it.
    pub expected: usize,
    /// Pairs whose arms different programs made.
    pub crossing: usize,
    /// Mean of the sets' means; none without a pair.
    pub estimate: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// The sign-flip test of a gain above the bound, one-sided, on these sets.
    pub p: Option<f64>,
    /// The same for the family of comparisons together (Holm).
    pub adjusted: Option<f64>,
    /// Wilcoxon's test over sets of a gain above the bound, one-sided.
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
    /// Pairs are missing.
    Open,
    /// All pairs are there, and too few: even if all agreed, p would be above 0.05.
    TooFew,
    /// The gain is below the bound, or the ratio above it.
    Missed,
    /// The gain reaches the bound, by which chance may have its part.
    Met,
    /// The adjusted p of a gain above the bound is at most 0.05; or the ratio is at most the bound.
    Shown,
}

impl Effect {
    /// Whether it is a gain in points, of which there is a test; a ratio of costs is exact.
    pub fn is_gain(&self) -> bool {
        self.comparison.measure == Measured::Accuracy
    }

    /// Whether the comparison succeeded by what the protocol says.
    pub fn verdict(&self) -> Verdict {
        let Some(estimate) = self.estimate.filter(|_| self.pairs >= self.expected) else {
            return Verdict::Open;
        };
        let is_reached = self.comparison.is_reached(estimate);
        if !self.is_gain() {
            return if is_reached { Verdict::Shown } else { Verdict::Missed };
        }
        let is_beyond = estimate > self.comparison.bound();
        match self.adjusted {
            _ if 0.5_f64.powi(self.pairs as i32) > LEVEL => Verdict::TooFew,
            _ if !is_reached => Verdict::Missed,
            Some(adjusted) if is_beyond && adjusted <= LEVEL => Verdict::Shown,
            _ => Verdict::Met,
        }
    }
}

/// Every comparison of a protocol.
pub fn effects(protocol: &Protocol, runs: &[Run]) -> Vec<Effect> {
    let (cells, first, closed) = (Cells::of(runs), protocol.first_sets(), closed(protocol, runs));
    let one = |comparison: &Comparison| {
        let is_closed = closed.contains(&comparison.name);
        effect(if is_closed { &first } else { protocol }, comparison, &cells)
    };
    let mut all: Vec<Effect> = protocol.comparisons.iter().map(one).collect();
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, one) in all.iter().enumerate().filter(|(_, one)| one.is_gain()) {
        families.entry(one.comparison.family.clone()).or_default().push(index);
    }
    for family in families.into_values() {
        // A comparison without a p has its place in the family that was declared.
        let p_values: Vec<f64> = family.iter().map(|&index| all[index].p.unwrap_or(1.0)).collect();
        for (index, adjusted) in family.into_iter().zip(holm(&p_values)) {
            all[index].adjusted = all[index].p.map(|_| adjusted);
        }
    }
    all
}

/// Names of the comparisons that the stop rule closed.
fn closed(protocol: &Protocol, runs: &[Run]) -> Vec<String> {
    let decides = protocol.stop.is_some_and(|stop| stop.after < protocol.sets.len());
    if !decides || protocol.missing(runs) > 0 {
        return Vec::new();
    }
    let first = effects(&protocol.first_sets(), runs);
    protocol.settled(&first).into_iter().map(|effect| effect.comparison.name.clone()).collect()
}

/// Results by set, arm and seed.
struct Cells<'a>(BTreeMap<(&'a str, &'a str, u64), &'a Run>);

impl<'a> Cells<'a> {
    fn of(runs: &'a [Run]) -> Self {
        let results = runs.iter().filter(|run| run.plan.purpose == Purpose::Result);
        let cell = |run: &'a Run| ((run.plan.set.as_str(), run.plan.method.as_str(), run.plan.seed), run);
        Self(results.map(cell).collect())
    }

    /// Gains of a comparison on a set, each with whether different programs made its runs. Runs on other images, of other
    /// lengths or on other weights are no pair.
    fn gains(&self, comparison: &Comparison, set: &str, seeds: &[u64]) -> Vec<(f64, bool)> {
        let gain = |&seed: &u64| {
            let of = self.0.get(&(set, comparison.of.as_str(), seed))?;
            let over = self.0.get(&(set, comparison.over.as_str(), seed))?;
            let is_alike = of.plan.images == over.plan.images && of.steps == over.steps;
            let is_pair = is_alike && of.fingerprint == over.fingerprint;
            let gain = compared(comparison.measure, &of.figures, &over.figures).filter(|_| is_pair)?;
            Some((gain, of.machine.program != over.machine.program))
        };
        seeds.iter().filter_map(gain).collect()
    }
}

fn compared(measure: Measured, of: &Figures, over: &Figures) -> Option<f64> {
    let ratio = |of: u64, over: u64| (over > 0).then(|| of as f64 / over as f64);
    match measure {
        Measured::Accuracy => Some(100.0 * (of.accuracy - over.accuracy)),
        Measured::FlopsOf8 => ratio(of.cost.flops_of_8, over.cost.flops_of_8),
        Measured::AdapterBytes => ratio(of.cost.adapter_bytes?, over.cost.adapter_bytes?),
    }
}

fn effect(protocol: &Protocol, comparison: &Comparison, cells: &Cells<'_>) -> Effect {
    let own = protocol.sets.iter().filter(|set| comparison.is_on(&set.name));
    let seeds = protocol.seeds_compared(comparison);
    let (mut sets, mut expected, mut crossing) = (Vec::new(), 0, 0);
    for set in own {
        let found = cells.gains(comparison, &set.name, seeds);
        expected += seeds.len();
        crossing += found.iter().filter(|(_, crosses)| *crosses).count();
        if !found.is_empty() {
            let gains = found.into_iter().map(|(gain, _)| gain).collect();
            sets.push(Gained { set: set.name.clone(), gains });
        }
    }
    let pairs = Pairs { sets: sets.iter().map(|gained| gained.gains.clone()).collect() };
    let above = pairs.less(comparison.bound());
    let is_gain = comparison.measure == Measured::Accuracy;
    Effect {
        comparison: comparison.clone(),
        pairs: pairs.count(),
        expected,
        crossing,
        estimate: (!sets.is_empty()).then(|| pairs.estimate()),
        interval: bootstrap(&pairs),
        p: is_gain.then(|| sign_flip(&above)).flatten(),
        adjusted: None,
        over_sets: is_gain.then(|| wilcoxon(&above.means())).flatten(),
        sets,
    }
}
