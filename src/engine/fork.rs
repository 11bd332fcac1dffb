//! Where rows of a batch part ways. Pure.
//!
//! Rows of one image under several packs are one row until the first block that has an adapter of any of them. So a
//! batch may be cut before some block: what lies below runs once an image, or not at all where an earlier batch left
//! it, and what lies above once a row. Rows whose adapters begin below the cut run whole.
//!
//! What a row cost is exact: what lies above the cut is its own, what lies below is shared by the rows of its image.

use std::collections::{BTreeMap, BTreeSet};

use crate::backbone::BackboneConfig;
use crate::graph::{Error, Plan, plan_flops};
use crate::pack::Pack;

/// What forking needs to know of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    /// Which of the batch's images it is.
    pub(super) image: usize,
    /// First block with an adapter of its pack; the depth for a pack without any.
    pub(super) lowest: usize,
    /// Whether what blocks give for its image will be kept.
    pub(super) keeps: bool,
}

/// A cut may cost this fraction of a batch more (1 in so many) if what lies below it is kept for later requests: one hit
/// in thirty such batches pays for it.
const WORTH: u64 = 30;

/// What blocks cost for one row without adapters, FLOPs.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    /// Cost of the blocks before each block, from 0 before the first to the whole after the last.
    before: Vec<u64>,
    /// Cost of one more run, as the FLOPs that would take as long.
    run: u64,
}

impl Costs {
    /// Those of a backbone.
    ///
    /// # Errors
    /// When its configuration contradicts itself.
    pub(super) fn of(config: &BackboneConfig) -> Result<Self, Error> {
        let below = |cut| match cut {
            0 => Ok(0),
            cut => plan_flops(config, &Plan::below(cut), |_| 0),
        };
        Ok(Self::new((0..=config.depth()).map(below).collect::<Result<_, _>>()?))
    }

    /// One more run costs a hundredth of a row: measured with `server bench --fork`, whose overhead for a run was
    /// below 1 % of a ViT-B/16's row.
    pub(super) fn new(before: Vec<u64>) -> Self {
        let run = before.last().copied().unwrap_or(0) / 100;
        Self { before, run }
    }

    /// Cost of the blocks before each block, and of all.
    pub(super) fn all(&self) -> &[u64] {
        &self.before
    }

    /// Cost of the blocks before `cut` for one row.
    pub(super) fn below(&self, cut: usize) -> u64 {
        self.before.get(cut).copied().unwrap_or(0)
    }

    /// What a row under a pack costs above the last block before which it may be cut.
    pub(super) fn above(&self, pack: &Pack) -> u64 {
        let cut = pack.modules.lowest_block().unwrap_or(self.before.len().saturating_sub(1));
        pack.flops.saturating_sub(self.below(cut))
    }

    /// Cost of all blocks for one row.
    pub(super) fn whole(&self) -> u64 {
        self.before.last().copied().unwrap_or(0)
    }
}

/// How a batch runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Rows that run from the first block to the last.
    pub(super) whole: Vec<usize>,
    /// The others, if there are any.
    pub(super) fork: Option<Fork>,
}

/// Rows that share what lies below a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    /// First block above the cut; the depth where only heads differ.
    pub(super) cut: usize,
    /// The rows.
    pub(super) rows: Vec<usize>,
}

/// The cheapest layout of a batch among those with a cut of `cuts`. `kept` says for which images what lies below a cut is
/// kept already. What will be kept is worth a little: see [`WORTH`].
pub(super) fn layout(
    branches: &[Branch],
    costs: &Costs,
    cuts: &[usize],
    kept: impl Fn(usize, usize) -> bool,
) -> Layout {
    let all = branches.len() as u64 * costs.whole() + costs.run;
    let best = cuts.iter().map(|&cut| (forked(branches, costs, cut, &kept), cut)).min();
    let worth = if branches.iter().any(|branch| branch.keeps) { all / WORTH } else { 0 };
    match best {
        Some((cost, cut)) if cost < all + worth => {
            let (rows, whole) = (0..branches.len()).partition(|&row| branches[row].lowest >= cut);
            Layout { whole, fork: Some(Fork { cut, rows }) }
        }
        _ => Layout { whole: (0..branches.len()).collect(), fork: None },
    }
}

fn forked(branches: &[Branch], costs: &Costs, cut: usize, kept: &impl Fn(usize, usize) -> bool) -> u64 {
    let sharing = branches.iter().filter(|branch| branch.lowest >= cut);
    let images: BTreeSet<usize> = sharing.clone().map(|branch| branch.image).collect();
    let missing = images.iter().filter(|&&image| !kept(image, cut)).count() as u64;
    let rows = sharing.count() as u64;
    let rest = branches.len() as u64 - rows;
    let (below, whole) = (costs.before[cut], costs.whole());
    let runs = u64::from(missing > 0) + u64::from(rows > 0 && below < whole) + u64::from(rest > 0);
    if rows == 0 {
        return u64::MAX;
    }
    missing * below + rows * (whole - below) + rest * whole + runs * costs.run
}

/// What each row of an image pays of what ran below the cut for all of them: equal parts, and the first what is left
/// over. `images` says for each row which image it is of, `ran` which of them ran.
pub(super) fn parts(images: &[usize], below: u64, ran: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut rows: BTreeMap<usize, u64> = BTreeMap::new();
    images.iter().for_each(|&image| *rows.entry(image).or_default() += 1);
    let mut left: BTreeMap<usize, u64> = rows.iter().map(|(&image, &count)| (image, below % count)).collect();
    let part = |image: &usize| match ran(*image) {
        true => below / rows[image] + left.insert(*image, 0).unwrap_or(0),
        false => 0,
    };
    images.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_image_share_what_ran_and_pay_nothing_for_what_was_kept() {
        assert_eq!(parts(&[0, 0, 2, 0, 4], 101, |image| image != 4), [35, 33, 101, 33, 0]);
        assert!(parts(&[], 101, |_| true).is_empty());
    }

    /// Twelve blocks of 100.
    fn costs() -> Costs {
        Costs::new((0..=12).map(|block| 100 * block).collect())
    }

    fn branches(of: &[(usize, usize)]) -> Vec<Branch> {
        of.iter().map(|&(image, lowest)| Branch { image, lowest, keeps: false }).collect()
    }

    fn cut(of: &[(usize, usize)], cuts: &[usize]) -> Option<(usize, Vec<usize>)> {
        layout(&branches(of), &costs(), cuts, |_, _| false).fork.map(|fork| (fork.cut, fork.rows))
    }

    #[test]
    fn a_batch_is_cut_where_most_is_saved() {
        type Case<'a> = (&'a [(usize, usize)], &'a [usize], Option<(usize, Vec<usize>)>);
        let cases: [Case<'_>; 8] = [
            // Nothing to share: one row, or rows of different images.
            (&[(0, 8)], &[4, 8, 12], None),
            (&[(0, 8), (1, 8)], &[4, 8, 12], None),
            // As late as the packs allow and the cuts there are.
            (&[(0, 8), (0, 9)], &[4, 8, 12], Some((8, vec![0, 1]))),
            (&[(0, 8), (0, 9)], &[4], Some((4, vec![0, 1]))),
            (&[(0, 12), (0, 12)], &[4, 8, 12], Some((12, vec![0, 1]))),
            (&[(0, 3), (0, 3)], &[4, 8, 12], None),
            // A row that begins early runs whole, unless all would rather fork early with it.
            (&[(0, 0), (0, 8), (0, 8), (0, 8)], &[4, 8], Some((8, vec![1, 2, 3]))),
            (&[(0, 4), (0, 4), (0, 4), (0, 8)], &[4, 8], Some((4, vec![0, 1, 2, 3]))),
        ];
        for (rows, cuts, expected) in cases {
            assert_eq!(cut(rows, cuts), expected, "{rows:?} {cuts:?}");
        }
    }

    #[test]
    fn what_is_kept_makes_even_a_lone_row_fork() {
        let kept = |image, cut| image == 0 && cut == 8;
        let lone = layout(&branches(&[(0, 8)]), &costs(), &[4, 8], kept);
        assert_eq!(lone.fork, Some(Fork { cut: 8, rows: vec![0] }));
        let other = layout(&branches(&[(1, 8)]), &costs(), &[4, 8], kept);
        assert_eq!(other.fork, None);
    }

    #[test]
    fn a_lone_row_forks_where_its_image_is_to_be_kept() {
        let keeps = |lowest| Branch { image: 0, lowest, keeps: true };
        let cut = |rows: &[Branch]| layout(rows, &costs(), &[4, 8, 12], |_, _| false).fork.map(|f| f.cut);
        assert_eq!(cut(&[keeps(12)]), Some(12));
        assert_eq!(cut(&[keeps(9)]), Some(4));
        assert_eq!(cut(&[keeps(3)]), None);
    }

    #[test]
    fn every_row_runs_exactly_once() {
        let rows = branches(&[(0, 0), (0, 12), (1, 5), (1, 9), (2, 9)]);
        let layout = layout(&rows, &costs(), &[4, 8, 12], |image, _| image == 2);
        let mut all: Vec<usize> = layout.whole.clone();
        all.extend(layout.fork.iter().flat_map(|fork| fork.rows.clone()));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}
