//! What frozen blocks gave for images, kept for the next task that sees one of them.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::metrics::Metrics;

/// An image as its pixels enter the backbone: its encoded bytes and how they were prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageKey([u8; 32]);

impl ImageKey {
    /// Of encoded bytes and a description of the preprocessing.
    pub fn new(encoded: &[u8], preprocessing: &str) -> Self {
        let digest = Sha256::new().chain_update(preprocessing).chain_update([0]).chain_update(encoded);
        Self(digest.finalize().into())
    }
}

/// Rows before some block, by image, within a budget of bytes; the least used go first.
pub(super) struct Prefixes {
    rows: Cache<(ImageKey, usize), Arc<[f32]>>,
    metrics: Arc<Metrics>,
}

impl Prefixes {
    /// Keeps at most `bytes`.
    pub(super) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let weigh =
            |_: &(ImageKey, usize), row: &Arc<[f32]>| u32::try_from(4 * row.len()).unwrap_or(u32::MAX);
        Self { rows: Cache::builder().max_capacity(bytes).weigher(weigh).build(), metrics }
    }

    /// Whether a row is here.
    pub(super) fn holds(&self, image: ImageKey, block: usize) -> bool {
        self.rows.contains_key(&(image, block))
    }

    /// A row, counted as a hit or a miss.
    pub(super) fn get(&self, image: ImageKey, block: usize) -> Option<Arc<[f32]>> {
        let found = self.rows.get(&(image, block));
        let outcome = if found.is_some() { "hit" } else { "miss" };
        self.metrics.prefix_lookups.with_label_values(&[outcome]).inc();
        found
    }

    /// Keeps a row.
    pub(super) fn put(&self, image: ImageKey, block: usize, row: Arc<[f32]>) {
        self.rows.insert((image, block), row);
        // Makes room now and brings the size up to date, which moka would do at some later call.
        self.rows.run_pending_tasks();
        self.metrics.prefix_bytes.set(self.rows.weighted_size() as i64);
    }
}
