//! Outputs of frozen blocks for images, kept for the next task that sees one of them.

use std::sync::Arc;

use moka::sync::Cache;

use super::image_key::ImageKey;
use super::row::{Flow, Row};
use crate::metrics::Metrics;

/// An image as one flow knows it: what a flow asked about, no other can tell by a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    flow: Flow,
    image: ImageKey,
}

impl Known {
    /// The image of a row, where it may be kept.
    pub(super) fn of(row: &Row) -> Option<Self> {
        row.image.map(|image| Self { flow: row.share.flow, image })
    }
}

/// Output of the blocks for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    pub(super) image: Known,
    /// The first block that has not run.
    pub(super) block: usize,
}

/// Rows before some block, by image, within a budget of bytes; the least used go first.
pub(super) struct Prefixes {
    rows: Cache<Prefix, Arc<[f32]>>,
    metrics: Arc<Metrics>,
}

impl Prefixes {
    /// Keeps at most `bytes`.
    pub(super) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let weigh = |_: &Prefix, row: &Arc<[f32]>| u32::try_from(4 * row.len()).unwrap_or(u32::MAX);
        Self { rows: Cache::builder().max_capacity(bytes).weigher(weigh).build(), metrics }
    }

    /// Whether a row is here.
    pub(super) fn holds(&self, image: Known, block: usize) -> bool {
        self.rows.contains_key(&Prefix { image, block })
    }

    /// A row, counted as a hit or a miss.
    pub(super) fn get(&self, image: Known, block: usize) -> Option<Arc<[f32]>> {
        let found = self.rows.get(&Prefix { image, block });
        self.metrics.engine.looked_up_prefix(found.is_some());
        found
    }

    /// Keeps a row.
    pub(super) fn put(&self, image: Known, block: usize, row: Arc<[f32]>) {
        self.rows.insert(Prefix { image, block }, row);
        // Makes room now and updates the size; moka would do both at some later call.
        self.rows.run_pending_tasks();
        self.metrics.engine.prefix_bytes.set(self.rows.weighted_size() as i64);
    }
}
