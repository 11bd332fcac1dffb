//! The exact sign-flip test: under the hypothesis of no difference, each difference is as likely with the other sign.

use super::pairs::Pairs;

/// Most differences whose signs are all tried: 2²⁴ ways take a fraction of a second.
const MOST: usize = 24;
/// Relative slack within which two sums count as equal, as sums of the same values in another order are.
const SLACK: f64 = 1e-12;

/// Share of all ways to choose signs whose mean of means is at least as far from zero as the one that was seen: the
/// two-sided p. None without a difference, or with more than 24, whose ways are too many.
pub fn sign_flip(pairs: &Pairs) -> Option<f64> {
    let shares = pairs.shares();
    if shares.is_empty() || shares.len() > MOST {
        return None;
    }
    let seen: f64 = shares.iter().sum::<f64>().abs();
    let bound = seen - SLACK * shares.iter().map(|share| share.abs()).sum::<f64>();
    let (mut signs, mut sum, mut as_far) = (0_u32, shares.iter().sum::<f64>(), 1_u64);
    let ways = 1_u32 << shares.len();
    for way in 1..ways {
        // A Gray code: each way differs from the one before in one sign.
        let flipped = way.trailing_zeros() as usize;
        signs ^= 1 << flipped;
        let was_minus = signs & (1 << flipped) == 0;
        sum += if was_minus { 2.0 } else { -2.0 } * shares[flipped];
        as_far += u64::from(sum.abs() >= bound);
    }
    Some(as_far as f64 / f64::from(ways))
}
