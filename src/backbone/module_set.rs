//! Sets of modules.

use std::fmt;

use super::{BlockRange, Form, Module, Place, Site};

/// Pairs of a place and a form that fits it.
const LANES: usize = 61;
/// Words of a set: one for each lane, and one of depths.
const WORDS: usize = LANES + 1;

/// One such pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane {
    place: Place,
    form: Form,
}

/// Every lane, in order of computation.
fn lanes() -> impl Iterator<Item = Lane> {
    let at =
        |place: Place| Form::all().filter(move |form| form.fits(place)).map(move |form| Lane { place, form });
    Place::ALL.into_iter().flat_map(at)
}

/// A set of modules: a bit for each block and lane. Small, `Copy` and cheap to compare, so that a plan is a plain key.
///
/// Beside its modules a set may hold depths: numbers of blocks after which a head reads a feature. They change nothing in
/// the blocks, and count as no modules.
///
/// ```
/// use mimi_server::backbone::{BlockRange, ModuleSet};
///
/// let all = ModuleSet::adapters(BlockRange { start: 0, end: 12 });
/// let late = all.within(BlockRange { start: 8, end: 12 });
/// assert_eq!((all.len(), late.len()), (24, 8));
/// assert!(late.is_subset(all));
/// assert_eq!(late.lowest_block(), Some(8));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleSet([u64; WORDS]);

impl ModuleSet {
    /// Deepest backbone a set can describe, in blocks (the deepest Swin and ViT have 24, ViT-g 40).
    pub const MAX_BLOCKS: usize = 64;
    /// The set without a module.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// MiMi's adapters at both sites of every block of `blocks`.
    pub fn adapters(blocks: BlockRange) -> Self {
        Site::of_adapters(blocks).collect()
    }

    /// No modules, and these depths: 1 is after the first block. Others than 1 to [`ModuleSet::MAX_BLOCKS`] are not held.
    pub fn reading(depths: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::EMPTY;
        for depth in depths.into_iter().filter(|depth| (1..=Self::MAX_BLOCKS).contains(depth)) {
            set.0[LANES] |= 1 << (depth - 1);
        }
        set
    }

    /// The depths, ascending.
    pub fn depths(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX_BLOCKS).filter(move |block| self.0[LANES] >> block & 1 == 1).map(|block| block + 1)
    }

    /// Whether there is a depth.
    pub fn reads_depths(&self) -> bool {
        self.0[LANES] != 0
    }

    /// Adds a module. One that nothing computes (see [`Form::fits`]), or beyond the last block, is not added.
    pub fn insert(&mut self, module: Module) {
        if let Some(lane) = lane(module).filter(|_| module.site.block < Self::MAX_BLOCKS) {
            self.0[lane] |= 1 << module.site.block;
        }
    }

    /// Whether the set holds the module.
    pub fn contains(&self, module: Module) -> bool {
        let block = module.site.block;
        block < Self::MAX_BLOCKS && lane(module).is_some_and(|lane| self.0[lane] >> block & 1 == 1)
    }

    /// Modules and depths in either set.
    pub fn union(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
        self
    }

    /// Whether every module and depth of this set is in `other`.
    pub fn is_subset(&self, other: Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, other)| own & !other == 0)
    }

    /// Modules within the blocks of `blocks`, and depths at their ends.
    pub fn within(mut self, blocks: BlockRange) -> Self {
        let mask = mask(blocks);
        self.0.iter_mut().for_each(|own| *own &= mask);
        self
    }

    /// The same forms at the same places, in every block of `blocks`.
    pub fn spread(mut self, blocks: BlockRange) -> Self {
        let mask = mask(blocks);
        self.0.iter_mut().filter(|own| **own != 0).for_each(|own| *own = mask);
        self
    }

    /// Modules of which `keep` says so, without depths.
    pub fn filter(self, keep: impl Fn(Module) -> bool) -> Self {
        self.iter().filter(|module| keep(*module)).collect()
    }

    /// Whether rows with these modules have more tokens than others.
    pub fn has_prompts(&self) -> bool {
        self.contains(Module { site: Site::new(0, Place::Tokens), form: Form::Prompts })
    }

    /// The first block with a module.
    pub fn lowest_block(&self) -> Option<usize> {
        let all = self.modules().iter().fold(0, |all, own| all | own);
        (all != 0).then(|| all.trailing_zeros() as usize)
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules().iter().map(|own| own.count_ones() as usize).sum()
    }

    /// Whether there is no module.
    pub fn is_empty(&self) -> bool {
        self.modules().iter().all(|own| *own == 0)
    }

    /// The words of modules.
    fn modules(&self) -> &[u64] {
        &self.0[..LANES]
    }

    /// The modules in order of computation.
    pub fn iter(self) -> impl Iterator<Item = Module> {
        let in_block = move |block: usize| {
            let here = lanes().zip(self.0).filter(move |(_, own)| own >> block & 1 == 1);
            here.map(move |(lane, _)| Module { site: Site::new(block, lane.place), form: lane.form })
        };
        let end = self.modules().iter().map(|own| u64::BITS - own.leading_zeros()).max().unwrap_or(0);
        (0..end as usize).flat_map(in_block)
    }
}

fn lane(module: Module) -> Option<usize> {
    lanes().position(|lane| lane == Lane { place: module.site.place, form: module.form })
}

fn mask(blocks: BlockRange) -> u64 {
    let below = |block: usize| 1u64.checked_shl(block as u32).map_or(u64::MAX, |bit| bit - 1);
    below(blocks.end) & !below(blocks.start)
}

impl Default for ModuleSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for ModuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depths = self.depths().map(|depth| format!("depth {depth}"));
        f.debug_set().entries(self.iter().map(|module| module.to_string()).chain(depths)).finish()
    }
}

impl<M: Into<Module>> FromIterator<M> for ModuleSet {
    fn from_iter<I: IntoIterator<Item = M>>(modules: I) -> Self {
        let mut set = Self::EMPTY;
        modules.into_iter().for_each(|module| set.insert(module.into()));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> Vec<Module> {
        let of = |block: usize| {
            lanes().map(move |lane| Module { site: Site::new(block, lane.place), form: lane.form })
        };
        [0, 7, 63].into_iter().flat_map(of).collect()
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_tells_it_in_order() {
        assert_eq!(lanes().count(), LANES);
        let set: ModuleSet = every().into_iter().rev().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), every());
        assert!(every().iter().all(|module| set.contains(*module)));
        assert_eq!((set.len(), set.lowest_block()), (3 * LANES, Some(0)));
        for module in every() {
            assert_eq!(Module::parse(&module.to_string()), Some(module));
        }
    }

    #[test]
    fn a_set_restricted_to_a_range_forgets_the_rest() {
        let all = ModuleSet::adapters(BlockRange { start: 0, end: 12 });
        let late = all.within(BlockRange { start: 8, end: 12 });
        assert_eq!((all.len(), late.len()), (24, 8));
        assert!(late.is_subset(all) && !all.is_subset(late));
        assert_eq!(late.iter().next(), Some(Module::adapter(Site::new(8, Place::Attn))));
        assert_eq!(late.spread(BlockRange { start: 0, end: 12 }), all);
        let whole = BlockRange { start: 0, end: ModuleSet::MAX_BLOCKS };
        assert_eq!(ModuleSet::adapters(whole).len(), 128);
    }

    #[test]
    fn depths_travel_with_modules_and_are_none() {
        let depths = ModuleSet::reading([12, 6, 6, 0, 65]);
        assert_eq!(depths.depths().collect::<Vec<_>>(), [6, 12]);
        assert!(depths.reads_depths() && depths.is_empty());
        assert_eq!((depths.lowest_block(), depths.len(), depths.iter().count()), (None, 0, 0));
        let both = depths.union(ModuleSet::adapters(BlockRange { start: 3, end: 4 }));
        assert!(depths.is_subset(both) && !both.is_subset(depths) && !depths.is_subset(ModuleSet::EMPTY));
        assert_eq!((both.lowest_block(), both.len()), (Some(3), 2));
        assert_eq!(both.within(BlockRange { start: 0, end: 6 }).depths().collect::<Vec<_>>(), [6]);
        assert_ne!(depths, ModuleSet::EMPTY);
    }

    #[test]
    fn what_nothing_computes_is_not_held() {
        let odd = Module { site: Site::new(0, Place::Scores), form: Form::Affine };
        assert!(ModuleSet::from_iter([odd]).is_empty());
        assert_eq!(Module::parse("blocks.0.scores.affine"), None);
    }
}
