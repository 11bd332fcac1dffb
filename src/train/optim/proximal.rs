//! What gates pay after a step (SoRA's proximal step, Ding et al. 2023; prices and their scale are ours).
//!
//! ```text
//! g ← sign(g) · max(|g| − η λ p, 0)          p the gate's price
//! η λ = r / (s + 1)                          s steps are left in which gates pay, this one among them
//! ```
//! r is the largest |g| / p of the gates that are too many. On a device the update does it
//! ([`proximal`](crate::graph::update::proximal)).

use std::collections::BTreeMap;
use std::ops::Range;

use crate::graph::ParameterName;
use crate::train::model::Model;

/// Prices of gates, and when they pay.
#[derive(Clone, Debug, PartialEq)]
pub struct Proximal {
    /// The price of each.
    pub prices: BTreeMap<ParameterName, f64>,
    /// Neurons that are left in the end.
    pub left: usize,
    /// Steps after which they pay, counted from the gates' first.
    pub paying: Range<usize>,
}

impl Proximal {
    /// The price of a gate; none of other parameters.
    pub fn price(&self, name: ParameterName) -> Option<f64> {
        self.prices.get(&name).copied()
    }

    /// Steps that the gates of a model have made.
    pub fn made(&self, model: &Model) -> usize {
        let gates = model.parameters.iter().find(|(name, _)| self.prices.contains_key(name));
        gates.map_or(0, |(_, own)| own.state.moments().2.max(0) as usize)
    }

    /// What part of r is paid after a step for each price: `1 / (s + 1)`, or 0 where nothing is.
    pub fn share(&self, step: usize) -> f64 {
        match self.paying.contains(&step) {
            true => 1.0 / (self.paying.end - step + 1) as f64,
            false => 0.0,
        }
    }

    /// Takes what gates pay after a step.
    pub fn pay(&self, model: &mut Model, step: usize) {
        if !self.paying.contains(&step) {
            return;
        }
        let scale = self.surplus(model) * self.share(step);
        for (name, parameter) in model.parameters.iter_mut() {
            let Some(price) = self.price(name) else { continue };
            let due = (scale * price) as f32;
            parameter.values.iter_mut().for_each(|gate| *gate = soft_threshold(*gate, due));
        }
    }

    /// |g| / p of the gates of one tensor.
    pub fn strengths(&self, name: ParameterName, gates: &[f32]) -> Option<Vec<f64>> {
        let price = self.price(name)?;
        Some(gates.iter().map(|gate| f64::from(gate.abs()) / price).collect())
    }

    /// The largest |g| / p of the gates that are too many.
    fn surplus(&self, model: &Model) -> f64 {
        let all = model.parameters.iter().filter_map(|(name, own)| self.strengths(name, &own.values));
        let mut all: Vec<f64> = all.flatten().collect();
        if self.left >= all.len() {
            return 0.0;
        }
        *all.select_nth_unstable_by(self.left, |a, b| b.total_cmp(a)).1
    }
}

/// `sign(g) · max(|g| − t, 0)`: the x that makes `½ (x − g)² + t |x|` least.
pub fn soft_threshold(gate: f32, threshold: f32) -> f32 {
    // NaN stays NaN, so that a training that diverged is seen.
    if gate.abs() <= threshold { 0.0 } else { gate - threshold.copysign(gate) }
}
