//! The exact signed-rank test over sets (Wilcoxon 1945).

/// Least sets: with fewer, even sets that all agree give a p above 0.05.
const LEAST: usize = 6;
/// Most sets whose signs are all tried.
const MOST: usize = 20;

/// The two-sided p of the sets' mean differences. Zeros are left out, and equal sizes share their mean rank. None with
/// fewer than six sets that differ from zero, or more than 20.
pub fn wilcoxon(means: &[f64]) -> Option<f64> {
    let differing: Vec<f64> = means.iter().copied().filter(|mean| *mean != 0.0).collect();
    if !(LEAST..=MOST).contains(&differing.len()) {
        return None;
    }
    let ranks = doubled_ranks(&differing);
    let seen: u32 = ranks.iter().zip(&differing).filter(|(_, mean)| **mean > 0.0).map(|(rank, _)| rank).sum();
    let all: u32 = ranks.iter().sum();
    let (low, high) = (seen.min(all - seen), seen.max(all - seen));
    let ways = 1_u32 << ranks.len();
    let sum_of = |way: u32| -> u32 {
        ranks.iter().enumerate().filter(|(at, _)| way & (1 << at) != 0).map(|(_, rank)| rank).sum()
    };
    let as_far = (0..ways).map(sum_of).filter(|&sum| sum <= low || sum >= high).count();
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
