//! Depths: what a head may read besides the backbone's own feature.
//!
//! A depth is a number of blocks, from 1 to that of all. Its feature has the width of its last block.

use std::ops::Range;

use super::{BackboneConfig, ModuleSet};

impl BackboneConfig {
    /// Every depth.
    pub fn every_depth(&self) -> ModuleSet {
        ModuleSet::reading(1..=self.depth())
    }

    /// Where the features of a set's depths lie among those of every depth, ascending.
    pub fn depth_columns(&self, modules: ModuleSet) -> Vec<Range<usize>> {
        let mut end = 0;
        let all: Vec<Range<usize>> = self
            .blocks()
            .iter()
            .map(|block| {
                let start = end;
                end += self.block_width(block);
                start..end
            })
            .collect();
        modules.depths().filter_map(|depth| all.get(depth - 1).cloned()).collect()
    }

    /// Numbers that a head reads: the features of a set's depths or, where it has none, the backbone's own.
    pub fn head_width(&self, modules: ModuleSet) -> usize {
        match modules.reads_depths() {
            true => self.depth_columns(modules).iter().map(ExactSizeIterator::len).sum(),
            false => self.feature_width(),
        }
    }

    /// What stands for a block where the features of every depth are meant: they lie behind the pooled feature, which is
    /// behind the last block.
    pub fn behind_pooling(&self) -> usize {
        self.depth() + 1
    }
}
