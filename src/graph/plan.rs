//! Plans: what a program must hold.

use std::fmt;

use super::Error;
use crate::backbone::{BackboneConfig, BlockRange, ModuleSet};

/// What is to be compiled: a range of blocks and the modules computed in them.
///
/// ```
/// use mimi_server::backbone::{BlockRange, ModuleSet};
/// use mimi_server::graph::Plan;
///
/// let blocks = BlockRange { start: 0, end: 12 };
/// let late = ModuleSet::adapters(BlockRange { start: 8, end: 12 });
/// let plan = Plan { blocks, modules: late };
/// assert!(plan.covers(ModuleSet::EMPTY) && !plan.covers(ModuleSet::adapters(blocks)));
/// assert_eq!(plan.to_string(), "blocks 0..12 with 8 module(s)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plan {
    /// The blocks.
    pub blocks: BlockRange,
    /// The modules, all within the blocks.
    pub modules: ModuleSet,
}

impl Plan {
    /// The whole backbone with `modules`.
    pub fn whole(config: &BackboneConfig, modules: ModuleSet) -> Self {
        Self { blocks: config.blocks(), modules }
    }

    /// The whole backbone without modules, and the features of every depth.
    pub fn reading(config: &BackboneConfig) -> Self {
        Self::whole(config, config.every_depth())
    }

    /// The blocks before `cut`, which no module is in.
    pub fn below(cut: usize) -> Self {
        Self { blocks: BlockRange { start: 0, end: cut }, modules: ModuleSet::EMPTY }
    }

    /// The blocks from `cut` on, with the forms of `modules` at their places in all of them.
    pub fn above(config: &BackboneConfig, cut: usize, modules: ModuleSet) -> Self {
        let blocks = BlockRange { start: cut, end: config.depth() };
        Self { blocks, modules: config.spread(modules, blocks) }
    }

    /// Whether a program of this plan can serve rows that have `modules`.
    pub fn covers(&self, modules: ModuleSet) -> bool {
        modules.is_subset(self.modules)
    }

    pub(super) fn check(&self, config: &BackboneConfig) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Plan { plan: self.to_string(), reason });
        if self.blocks.start >= self.blocks.end || self.blocks.end > config.depth() {
            return fail(format!("blocks must lie within 0..{}", config.depth()));
        }
        if self.modules.within(self.blocks) != self.modules {
            return fail("a module or a depth lies outside the blocks".into());
        }
        if self.modules.reads_depths() && self.blocks != config.blocks() {
            return fail(format!("depths are read of blocks 0..{} alone", config.depth()));
        }
        if let Some(reason) = self.modules.iter().find_map(|module| config.refuses(module)) {
            return fail(reason);
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {} with {} module(s)", self.blocks, self.modules.len())?;
        match self.modules.depths().count() {
            0 => Ok(()),
            depths => write!(f, " and {depths} depth(s)"),
        }
    }
}
