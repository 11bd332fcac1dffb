//! The front-first cut: adapters before a block go as a whole, so that many tasks share one pass to it.
//!
//! What an image costs under K tasks is one pass to the first block with an adapter and K from there on. A cut by score alone
//! leaves single neurons in early blocks, which then cost every task its own pass. This one takes the largest block before
//! which at most a share τ of all score lies, and removes what is before it. The score's threshold fills up behind.

use std::collections::BTreeMap;

use super::score::Scores;

/// Share of the score that may lie before the first block that keeps adapters, unless another is asked for.
pub const SHARE: f64 = 0.05;

/// The scores of what may stay when `count` neurons are kept: all modules from the largest block on before which at most
/// `share` of the score lies, and from which on there are so many neurons.
pub fn behind(scores: &Scores, share: f64, count: usize) -> Scores {
    let first = first_block(scores, share, count);
    scores.iter().filter(|(module, _)| module.site.block >= first).map(|(m, own)| (*m, own.clone())).collect()
}

fn first_block(scores: &Scores, share: f64, count: usize) -> usize {
    let mut blocks: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (module, own) in scores {
        let (score, neurons) = blocks.entry(module.site.block).or_default();
        *score += own.iter().sum::<f64>();
        *neurons += own.len();
    }
    let all: f64 = blocks.values().map(|(score, _)| score).sum();
    let (mut before, mut left) = (0.0, blocks.values().map(|(_, neurons)| neurons).sum::<usize>());
    let mut first = 0;
    for (block, (score, neurons)) in blocks {
        // Without any score nothing says what is unimportant.
        if left < count || before > share * all || all <= 0.0 {
            break;
        }
        first = block;
        before += score;
        left -= neurons;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{Module, Place, Site};

    /// One module a block, from block 2 on.
    fn scores(lists: &[&[f64]]) -> Scores {
        let module = |index| Module::adapter(Site::new(index + 2, Place::Mlp));
        lists.iter().enumerate().map(|(index, own)| (module(index), own.to_vec())).collect()
    }

    fn blocks(found: &Scores) -> Vec<usize> {
        found.keys().map(|module| module.site.block).collect()
    }

    #[test]
    fn the_largest_block_before_which_little_score_lies_is_the_first() {
        // Shares before blocks 2 to 5: 0, 0.1, 0.3, 0.6.
        let scores = scores(&[&[0.5, 0.5], &[1.0, 1.0], &[3.0], &[4.0, 0.0]]);
        let kept = |share, count| blocks(&behind(&scores, share, count));
        assert_eq!(kept(0.0, 1), [2, 3, 4, 5]);
        assert_eq!(kept(0.09, 1), [2, 3, 4, 5]);
        assert_eq!(kept(0.1, 1), [3, 4, 5], "as much as the share may lie before");
        assert_eq!(kept(0.59, 1), [4, 5]);
        assert_eq!(kept(1.0, 1), [5]);
        assert_eq!(kept(1.0, 3), [4, 5], "as many neurons as are kept must be left");
        assert_eq!(kept(1.0, 7), [2, 3, 4, 5]);
    }

    #[test]
    fn blocks_without_score_go_first() {
        let found = behind(&scores(&[&[0.0, 0.0], &[0.0], &[2.0], &[1.0]]), 0.0, 1);
        assert_eq!(blocks(&found), [4, 5]);
        assert!(behind(&Scores::new(), 0.5, 1).is_empty());
        assert_eq!(blocks(&behind(&scores(&[&[0.0], &[0.0]]), 1.0, 1)), [2, 3], "nothing is known");
    }
}
