//! Rows whose heads read several depths. Pure.
//!
//! One frozen pass of an image gives the features of every depth behind the pooled one, so that all its rows of this kind,
//! and those that have a head alone, share it whole.

use super::row::Row;
use crate::backbone::BackboneConfig;
use crate::pack::Pack;

/// The rows that read depths, and those without modules that share an image with one of them. What is `kept` of an image
/// serves its rows without modules for nothing.
pub(super) fn reading(rows: &[&Row], images: &[usize], kept: impl Fn(&Row) -> bool) -> Vec<usize> {
    let reads = |row: usize| kind(&rows[row].pack) == Kind::Reads;
    let shares = |row: usize| (0..rows.len()).any(|other| images[other] == images[row] && reads(other));
    let joins = |row: usize| kind(&rows[row].pack) == Kind::Bare && !kept(rows[row]) && shares(row);
    (0..rows.len()).filter(|&row| reads(row) || joins(row)).collect()
}

/// What a row is to the passes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its head reads depths.
    Reads,
    /// It has a head alone.
    Bare,
    /// It has modules.
    Adapted,
}

/// A pack's.
pub(super) fn kind(pack: &Pack) -> Kind {
    match pack.modules.reads_depths() {
        true => Kind::Reads,
        false if pack.modules.is_empty() && pack.prompts() == 0 => Kind::Bare,
        false => Kind::Adapted,
    }
}

/// Whether a row shares what a batch runs for `others` of its image: those that read depths run apart from those with
/// modules, and heads alone run with either.
pub(super) fn shares_pass(others: &[Kind], row: Kind) -> bool {
    let has = |kind| others.contains(&kind);
    match row {
        Kind::Reads => has(Kind::Reads) || has(Kind::Bare) && !has(Kind::Adapted),
        Kind::Bare => !others.is_empty(),
        // A head alone has gone over to those that read depths, where there are any.
        Kind::Adapted => has(Kind::Adapted) || has(Kind::Bare) && !has(Kind::Reads),
    }
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

#[cfg(test)]
mod tests {
    use super::Kind::{Adapted, Bare, Reads};
    use super::*;

    #[test]
    fn a_row_joins_where_the_batch_runs_its_pass_already() {
        let cases: [(&[Kind], [bool; 3]); 7] = [
            (&[], [false, false, false]),
            (&[Reads], [true, true, false]),
            (&[Bare], [true, true, true]),
            (&[Adapted], [false, true, true]),
            (&[Reads, Bare], [true, true, false]),
            (&[Bare, Adapted], [false, true, true]),
            (&[Reads, Bare, Adapted], [true, true, true]),
        ];
        for (others, expected) in cases {
            assert_eq!([Reads, Bare, Adapted].map(|row| shares_pass(others, row)), expected, "{others:?}");
        }
    }
}
