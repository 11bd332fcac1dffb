//! The sign-flip test: under the hypothesis of no difference, each difference is as likely with the other sign.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::pairs::Pairs;

/// Most differences whose signs are all tried: 2²⁴ ways take a fraction of a second.
const MOST: usize = 24;
/// Relative slack within which two sums count as equal. A running sum over 2²⁴ ways drifts by less.
const SLACK: f64 = 1e-9;
/// Draws of signs where there are more differences.
const DRAWS: u64 = 100_000;
/// Seed of the draws, so that a table is the same wherever it is made.
const SEED: u64 = 0;

/// Share of all ways to choose signs whose mean of means is at least the one that was seen: the p of a difference above
/// zero, one-sided. With more than 24 differences signs are drawn, and p is `(1 + hits) / (1 + draws)` (Phipson and Smyth
/// 2010). None without a difference.
pub fn sign_flip(pairs: &Pairs) -> Option<f64> {
    let shares = pairs.shares();
    if shares.is_empty() {
        return None;
    }
    let slack = SLACK * shares.iter().map(|share| share.abs()).sum::<f64>();
    let bound = shares.iter().sum::<f64>() - slack;
    Some(if shares.len() > MOST { drawn(&shares, bound) } else { counted(&shares, bound) })
}

fn counted(shares: &[f64], bound: f64) -> f64 {
    let (mut signs, mut sum, mut as_far) = (0_u32, shares.iter().sum::<f64>(), 1_u64);
    let ways = 1_u32 << shares.len();
    for way in 1..ways {
        // A Gray code: each way differs from the one before in one sign.
        let flipped = way.trailing_zeros() as usize;
        signs ^= 1 << flipped;
        let was_minus = signs & (1 << flipped) == 0;
        sum += if was_minus { 2.0 } else { -2.0 } * shares[flipped];
        as_far += u64::from(sum >= bound);
    }
    as_far as f64 / f64::from(ways)
}

fn drawn(shares: &[f64], bound: f64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut signed = |share: &f64| if random.random::<bool>() { *share } else { -share };
    let mut hits = 0_u64;
    for _ in 0..DRAWS {
        hits += u64::from(shares.iter().map(&mut signed).sum::<f64>() >= bound);
    }
    (1 + hits) as f64 / (1 + DRAWS) as f64
}
