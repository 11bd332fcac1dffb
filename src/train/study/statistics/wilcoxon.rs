//! The exact signed-rank test over sets (Wilcoxon 1945).

/// Least sets: with fewer, even sets that all agree give a p above 0.05.
const LEAST: usize = 5;
/// Most sets whose signs are all tried.
const MOST: usize = 20;
/// What a mean is rounded to: less is noise of the sums.
const GRAIN: f64 = 1e-9;

/// The one-sided p of mean differences of sets above zero. Zeros are left out, and equal sizes share their mean rank. None
/// with fewer than five sets that differ from zero, or more than 20.
pub fn wilcoxon(means: &[f64]) -> Option<f64> {
    let rounded = means.iter().map(|mean| (mean / GRAIN).round() * GRAIN);
    let differing: Vec<f64> = rounded.filter(|mean| *mean != 0.0).collect();
    if !(LEAST..=MOST).contains(&differing.len()) {
        return None;
    }
    let ranks = doubled_ranks(&differing);
    let seen: u32 = ranks.iter().zip(&differing).filter(|(_, mean)| **mean > 0.0).map(|(rank, _)| rank).sum();
    let ways = 1_u32 << ranks.len();
    let sum_of = |way: u32| -> u32 {
        ranks.iter().enumerate().filter(|(at, _)| way & (1 << at) != 0).map(|(_, rank)| rank).sum()
    };
    let as_far = (0..ways).map(sum_of).filter(|&sum| sum >= seen).count();
    Some(as_far as f64 / f64::from(ways))
}

/// Twice the rank of each value by size: whole also where equal sizes share a mean rank.
fn doubled_ranks(values: &[f64]) -> Vec<u32> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| other.abs() < value.abs()).count();
        let equal = values.iter().filter(|other| other.abs() == value.abs()).count();
        (2 * below + equal + 1) as u32
    };
    values.iter().map(rank).collect()
}
