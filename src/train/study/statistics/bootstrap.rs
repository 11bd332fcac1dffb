//! The interval of a mean of means: sets are drawn again, then seeds within each (Davison and Hinkley 1997, section 3.8).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::pairs::{Pairs, mean};

/// Draws of an interval.
const DRAWS: usize = 10_000;
/// Seed of the draws, so that a table is the same wherever it is made.
const SEED: u64 = 0;
/// Shares of the draws below the interval's ends: 95 % lie within.
const ENDS: [f64; 2] = [0.025, 0.975];

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The 95 % percentile interval of the estimate; none without a difference.
pub fn bootstrap(pairs: &Pairs) -> Option<Interval> {
    if pairs.count() == 0 {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut drawn: Vec<f64> = (0..DRAWS).map(|_| draw(pairs, &mut random)).collect();
    drawn.sort_by(f64::total_cmp);
    let [low, high] = ENDS.map(|share| quantile(&drawn, share));
    Some(Interval { low, high })
}

fn draw(pairs: &Pairs, random: &mut ChaCha8Rng) -> f64 {
    let sets = pairs.sets.len();
    let means = (0..sets).map(|_| {
        let set = &pairs.sets[random.random_range(0..sets)];
        (0..set.len()).map(|_| set[random.random_range(0..set.len())]).sum::<f64>() / set.len() as f64
    });
    mean(&means.collect::<Vec<_>>())
}

/// The quantile of ascending values, linear between neighbours, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}
