//! Which numbers of a row a head reads.

use std::ops::Range;

use crate::backbone::{BackboneConfig, ModuleSet};

/// Some numbers of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Numbers in a row.
    size: usize,
    /// Those that are read, one range after the other; none where all are.
    ranges: Vec<Range<usize>>,
}

impl Columns {
    /// All of rows of so many numbers.
    pub fn all(size: usize) -> Self {
        Self { size, ranges: Vec::new() }
    }

    /// The features of some depths, of rows that hold those of every depth; all of other rows where there is no depth.
    pub fn of(config: &BackboneConfig, depths: &[usize]) -> Self {
        let ranges = config.depth_columns(ModuleSet::reading(depths.iter().copied()));
        Self { size: config.head_width(config.every_depth()), ranges }
    }

    /// Numbers that are read of a row.
    pub fn width(&self) -> usize {
        if self.ranges.is_empty() { self.size } else { self.ranges.iter().map(ExactSizeIterator::len).sum() }
    }

    /// Where each range lies among the numbers that are read.
    pub fn groups(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let group = |range: &Range<usize>| {
            start += range.len();
            start - range.len()..start
        };
        self.ranges.iter().map(group).collect()
    }

    /// What is read of whole rows.
    pub fn take(&self, rows: Vec<f32>) -> Vec<f32> {
        if self.ranges.is_empty() {
            return rows;
        }
        let mut taken = Vec::with_capacity(rows.len() / self.size.max(1) * self.width());
        for row in rows.chunks(self.size.max(1)) {
            let own = self.ranges.iter().filter_map(|range| row.get(range.clone()));
            own.for_each(|part| taken.extend_from_slice(part));
        }
        taken
    }
}
