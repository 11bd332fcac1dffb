//! Outputs of frozen blocks, cached between the trainings of a process. Tasks that share images share the work.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

/// An encoded image, and the block whose input is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    digest: [u8; 32],
    block: usize,
}

impl Key {
    /// Of an encoded image.
    pub fn new(bytes: &[u8], block: usize) -> Self {
        Self { digest: Sha256::digest(bytes).into(), block }
    }
}

/// A cache of rows of one backbone, by image and block. Evicts the least used.
pub struct Features {
    rows: Cache<Key, Arc<[f32]>>,
}

impl Features {
    /// Keeps at most `bytes`.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Key, row: &Arc<[f32]>| u32::try_from(4 * row.len()).unwrap_or(u32::MAX);
        Self { rows: Cache::builder().max_capacity(bytes).weigher(weigh).build() }
    }

    /// The row that is kept of an image.
    pub fn get(&self, key: &Key) -> Option<Arc<[f32]>> {
        self.rows.get(key)
    }

    /// Keeps an image's row.
    pub fn put(&self, key: Key, row: &[f32]) {
        self.rows.insert(key, row.into());
    }
}
