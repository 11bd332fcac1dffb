//! Which neurons survive a pruning (Marouf et al. 2024, algorithm 1; docs/method.md sections 2 and 4).

use std::collections::BTreeMap;

use serde::Serialize;

use super::score::Scores;
use crate::backbone::Module;

/// Among which neurons the weakest are sought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Among all: adapters shrink unequally and may vanish. MiMi.
    #[default]
    Global,
    /// Within each adapter: all shrink by the same share.
    Local,
    /// Single weights instead of neurons, among all: those not kept are held at zero, and nothing gets faster.
    Unstructured,
}

/// Neurons left of `original` after pruning number `prunings`: `⌊n₀ (1 − ρ)ᵏ⌋`, so that rounding does not pile up.
pub fn survivors(original: usize, rho: f64, prunings: usize) -> usize {
    // The small term keeps a product that should be whole, as 10 · 0.7 is, from falling below it.
    (original as f64 * (1.0 - rho).powi(prunings as i32) + 1e-9).floor() as usize
}

/// Prunings needed to take the mean rate from `sigma` to at least `target`: `⌈ln(σ₀/σ) / ln(1 − ρ)⌉`.
pub fn prunings(sigma: f64, target: f64, rho: f64) -> usize {
    if target <= sigma {
        return 0;
    }
    ((sigma / target).ln() / (1.0 - rho).ln() - 1e-9).ceil() as usize
}

/// A pruning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruning {
    /// Share of the neurons that each pruning removes (ρ).
    pub rho: f64,
    /// Its number, from 1.
    pub round: usize,
}

/// Neurons that survive a pruning, ascending, by module; modules without any are left out.
///
/// `original` are the widths before the first pruning. Globally the n-th largest score is a threshold, and what
/// equals it stays, as in the reference; a local pruning keeps each adapter's first on equal scores.
pub fn select(
    scores: &Scores,
    selection: Selection,
    original: &BTreeMap<Module, usize>,
    pruning: Pruning,
) -> BTreeMap<Module, Vec<usize>> {
    let Pruning { rho, round } = pruning;
    let kept = match selection {
        Selection::Global => {
            let threshold = threshold(scores, survivors(original.values().sum(), rho, round));
            let keep = |s: &Vec<f64>| (0..s.len()).filter(|&j| s[j] >= threshold).collect();
            scores.iter().map(|(&module, s)| (module, keep(s))).collect()
        }
        Selection::Local | Selection::Unstructured => {
            let count = |module| survivors(original.get(module).copied().unwrap_or(0), rho, round);
            scores
                .iter()
                .map(|(module, s)| (*module, strongest(s, count(module))))
                .collect::<BTreeMap<_, _>>()
        }
    };
    kept.into_iter().filter(|(_, neurons): &(Module, Vec<usize>)| !neurons.is_empty()).collect()
}

/// The `count` neurons of highest score over all modules, exactly so many: of equal ones the first.
pub fn strongest_anywhere(scores: &Scores, count: usize) -> BTreeMap<Module, Vec<usize>> {
    strongest_that(scores, count, |_| true)
}

/// As [`strongest_anywhere`], of those that `takes` admits. It is asked by their modules, the strongest first, until so many are
/// taken.
pub fn strongest_that(
    scores: &Scores,
    count: usize,
    mut takes: impl FnMut(Module) -> bool,
) -> BTreeMap<Module, Vec<usize>> {
    let each = |(module, own): (&Module, &Vec<f64>)| {
        own.iter().copied().enumerate().map(|(j, s)| (*module, j, s)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = scores.iter().flat_map(each).collect();
    // Stable: equal scores stay in order.
    all.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut kept = BTreeMap::<Module, Vec<usize>>::new();
    let taken = all.into_iter().filter(|(module, ..)| takes(*module)).take(count);
    taken.for_each(|(module, neuron, _)| kept.entry(module).or_default().push(neuron));
    kept.values_mut().for_each(|neurons| neurons.sort_unstable());
    kept
}

/// The `count`-th largest score; above every score for 0.
fn threshold(scores: &Scores, count: usize) -> f64 {
    let mut all: Vec<f64> = scores.values().flatten().copied().collect();
    all.sort_by(|a, b| b.total_cmp(a));
    match count.min(all.len()).checked_sub(1) {
        Some(last) => all[last],
        None => f64::INFINITY,
    }
}

fn strongest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{Place, Site};

    fn site(index: usize) -> Module {
        let place = if index.is_multiple_of(2) { Place::Attn } else { Place::Mlp };
        Module::adapter(Site::new(index / 2, place))
    }

    fn scores(lists: &[&[f64]]) -> Scores {
        lists.iter().enumerate().map(|(i, list)| (site(i), list.to_vec())).collect()
    }

    #[test]
    fn survivors_are_counted_from_the_original() {
        let left: Vec<usize> = (0..6).map(|k| survivors(8832, 0.5, k)).collect();
        assert_eq!(left, [8832, 4416, 2208, 1104, 552, 276]);
        assert_eq!(survivors(10, 0.3, 1), 7);
        assert_eq!(survivors(7, 0.5, 1), 3);
    }

    #[test]
    fn prunings_reach_the_target_and_no_further() {
        assert_eq!(prunings(1.0, 32.0, 0.5), 5);
        assert_eq!(prunings(8.0, 8.0, 0.5), 0);
        assert_eq!(prunings(8.0, 100.0, 0.5), 4);
        assert_eq!(prunings(1.0, 2.0, 0.25), 3);
    }

    #[test]
    fn a_global_selection_takes_the_best_anywhere_and_adapters_vanish() {
        let scores = scores(&[&[0.9, 0.1, 0.8], &[0.2, 0.3], &[0.7]]);
        let original = BTreeMap::from([(site(0), 3), (site(1), 2), (site(2), 1)]);
        let kept = select(&scores, Selection::Global, &original, Pruning { rho: 0.5, round: 1 });
        assert_eq!(kept, BTreeMap::from([(site(0), vec![0, 2]), (site(2), vec![0])]));
        let none = select(&scores, Selection::Global, &original, Pruning { rho: 0.9, round: 1 });
        assert!(none.is_empty());
    }

    #[test]
    fn equal_scores_stay_together_globally() {
        let scores = scores(&[&[0.5, 0.5], &[0.5, 0.1]]);
        let original = BTreeMap::from([(site(0), 2), (site(1), 2)]);
        let kept = select(&scores, Selection::Global, &original, Pruning { rho: 0.5, round: 1 });
        assert_eq!(kept.values().map(Vec::len).sum::<usize>(), 3);
    }

    #[test]
    fn exactly_so_many_are_kept_anywhere_and_the_first_of_equal_ones() {
        let scores = scores(&[&[0.5, 0.5, 0.9], &[0.5, 0.1], &[0.5]]);
        assert_eq!(strongest_anywhere(&scores, 2), BTreeMap::from([(site(0), vec![0, 2])]));
        let four = BTreeMap::from([(site(0), vec![0, 1, 2]), (site(1), vec![0])]);
        assert_eq!(strongest_anywhere(&scores, 4), four);
        for count in 0..=6 {
            assert_eq!(strongest_anywhere(&scores, count).values().map(Vec::len).sum::<usize>(), count);
        }
    }

    #[test]
    fn a_local_selection_halves_each() {
        let scores = scores(&[&[0.9, 0.1, 0.8, 0.7], &[0.1, 0.1], &[0.7]]);
        let original = BTreeMap::from([(site(0), 4), (site(1), 2), (site(2), 1)]);
        let kept = select(&scores, Selection::Local, &original, Pruning { rho: 0.5, round: 1 });
        assert_eq!(kept, BTreeMap::from([(site(0), vec![0, 2]), (site(1), vec![0])]));
    }
}
