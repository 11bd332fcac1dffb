//! Rows whose heads read several depths. Pure.
//!
//! One frozen pass of an image gives the features of every depth behind the pooled one, so that all its rows of this kind,
//! and those that have a head alone, share it whole.

use super::row::Row;
use crate::backbone::BackboneConfig;

/// The rows that read depths, and those without modules that share an image with one of them.
pub(super) fn reading(rows: &[&Row], images: &[usize]) -> Vec<usize> {
    let reads = |row: usize| rows[row].pack.modules.reads_depths();
    let is_bare = |row: usize| rows[row].pack.modules.is_empty() && rows[row].pack.prompts() == 0;
    let shares = |row: usize| (0..rows.len()).any(|other| images[other] == images[row] && reads(other));
    (0..rows.len()).filter(|&row| reads(row) || is_bare(row) && shares(row)).collect()
}

/// What a row takes of a pass that gave the pooled feature and those of every depth: the pooled one, then its own depths'.
pub(super) fn read(config: &BackboneConfig, row: &Row, values: &[f32]) -> Vec<f32> {
    let (pooled, depths) = values.split_at(config.feature_width().min(values.len()));
    let own = config.depth_columns(row.pack.modules).into_iter();
    own.fold(pooled.to_vec(), |mut all, columns| {
        all.extend(depths.get(columns).unwrap_or_default());
        all
    })
}
