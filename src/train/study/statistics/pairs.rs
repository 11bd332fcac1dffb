//! Differences between two ways to train, paired by set and seed.

/// Differences by set; each set has at least one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// One list a set, one difference a seed.
    pub sets: Vec<Vec<f64>>,
}

impl Pairs {
    /// Mean difference of each set.
    pub fn means(&self) -> Vec<f64> {
        self.sets.iter().map(|set| mean(set)).collect()
    }

    /// Mean of the sets' means: every set weighs the same.
    pub fn estimate(&self) -> f64 {
        mean(&self.means())
    }

    /// The same, each difference less a bound.
    pub fn less(&self, bound: f64) -> Self {
        let of = |set: &Vec<f64>| set.iter().map(|value| value - bound).collect();
        Self { sets: self.sets.iter().map(of).collect() }
    }

    /// Differences in all.
    pub fn count(&self) -> usize {
        self.sets.iter().map(Vec::len).sum()
    }

    /// Each difference as its share of the estimate: their sum is the estimate.
    pub(super) fn shares(&self) -> Vec<f64> {
        let sets = self.sets.len() as f64;
        let of = |set: &Vec<f64>| {
            let weight = sets * set.len() as f64;
            set.iter().map(|value| value / weight).collect::<Vec<_>>()
        };
        self.sets.iter().flat_map(of).collect()
    }
}

/// Arithmetic mean; not a number of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
