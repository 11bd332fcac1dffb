//! Plans: what a program must hold.

use std::fmt;

use super::Error;
use crate::backbone::{BackboneConfig, BlockRange, SiteSet};

/// What is to be compiled: a range of blocks and the sites where adapters are computed.
///
/// ```
/// use mimi_server::backbone::{BlockRange, SiteSet};
/// use mimi_server::graph::Plan;
///
/// let blocks = BlockRange { start: 0, end: 12 };
/// let late = SiteSet::all(BlockRange { start: 8, end: 12 });
/// let plan = Plan { blocks, sites: late };
/// assert!(plan.covers(SiteSet::EMPTY) && !plan.covers(SiteSet::all(blocks)));
/// assert_eq!(plan.to_string(), "blocks 0..12 with 8 site(s)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plan {
    /// The blocks.
    pub blocks: BlockRange,
    /// The active sites, all within the blocks.
    pub sites: SiteSet,
}

impl Plan {
    /// The whole backbone with adapters at `sites`.
    pub fn whole(config: &BackboneConfig, sites: SiteSet) -> Self {
        Self { blocks: config.blocks(), sites }
    }

    /// The blocks before `cut`, which no adapter is in.
    pub fn below(cut: usize) -> Self {
        Self { blocks: BlockRange { start: 0, end: cut }, sites: SiteSet::EMPTY }
    }

    /// The blocks from `cut` on, with adapters at every site.
    pub fn above(config: &BackboneConfig, cut: usize) -> Self {
        let blocks = BlockRange { start: cut, end: config.depth() };
        Self { blocks, sites: SiteSet::all(blocks) }
    }

    /// Whether a program of this plan can serve rows that have adapters at `sites`.
    pub fn covers(&self, sites: SiteSet) -> bool {
        sites.is_subset(self.sites)
    }

    pub(super) fn check(&self, config: &BackboneConfig) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Plan { plan: self.to_string(), reason });
        if self.blocks.start >= self.blocks.end || self.blocks.end > config.depth() {
            return fail(format!("blocks must lie within 0..{}", config.depth()));
        }
        if self.sites.within(self.blocks) != self.sites {
            return fail("a site lies outside the blocks".into());
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {} with {} site(s)", self.blocks, self.sites.len())
    }
}
