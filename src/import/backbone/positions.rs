//! timm's position table: which tokens have a row in it, and how large the grid of the others is.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::guess::square;
use super::ledger::{Ledger, Told, contradiction};
use crate::backbone::VitConfig;

/// What a position table covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Patches along one side.
    pub(super) grid: usize,
    /// Tokens before the patches that have a row: none, all, or all but the registers.
    rows: usize,
}

/// What tells of a table of positions.
pub(super) struct Said {
    /// Rows of the table.
    pub(super) rows: usize,
    /// Whether the names are those of DINOv2's own code.
    pub(super) hub: bool,
    /// Sides of the input that files tell, pixels.
    pub(super) sides: Vec<Option<Told<usize>>>,
    /// The side that was asked for, pixels.
    pub(super) asked: Option<usize>,
    /// Whether files tell that the table has no rows for class and register tokens.
    pub(super) bare: Vec<Option<Told<bool>>>,
}

/// Finds out what a table of so many rows covers. In DINOv2's own files (`hub`) the class token has a row and the
/// registers have none; timm gives a row to all tokens before the patches, or to none.
///
/// # Errors
/// When no square fits, several do and nothing tells which, or a file tells of another.
pub(super) fn timm_table(
    vit: &VitConfig,
    Said { rows, hub, sides, asked, bare }: Said,
    ledger: &mut Ledger,
    path: &Path,
) -> Result<Table, Error> {
    let unknown = |reason: String| Error::UnknownLayout { path: path.into(), reason };
    let options = match (hub, vit.prefix_tokens()) {
        (true, _) => vec![vit.placed_tokens()],
        (false, 0) => vec![0],
        (false, all) => vec![0, all],
    };
    let fits = |&placed: &usize| Some(Table { grid: square(rows.checked_sub(placed)?)?, rows: placed });
    let all: Vec<Table> = options.iter().filter_map(fits).filter(|table| table.grid > 0).collect();
    if all.is_empty() {
        let tokens = vit.prefix_tokens();
        return Err(unknown(format!(
            "pos_embed is no square: {rows} rows, with {tokens} token(s) before the patches; rectangular inputs are not supported"
        )));
    }
    let bare = bare.into_iter().flatten().next().filter(|_| options.len() > 1);
    let fitting: Vec<Table> = all
        .iter()
        .filter(|table| bare.as_ref().is_none_or(|bare| bare.value == (table.rows == 0)))
        .copied()
        .collect();
    let shown = Told::shape(all[0].rows == 0, format!("pos_embed with {rows} rows"));
    if let (Some(shown), Some(bare), []) = (shown, &bare, &fitting[..]) {
        return Err(contradiction("no_embed_class", &shown, bare));
    }
    let told = sides.iter().flatten().map(|told| told.value).next();
    let of_side =
        |side: Option<usize>| fitting.iter().find(|t| side == Some(t.grid * vit.patch_size)).copied();
    let only = if let [table] = fitting[..] { Some(table) } else { None };
    let table = of_side(told).or_else(|| of_side(asked)).or(only).ok_or_else(|| {
        let sizes: Vec<usize> = fitting.iter().map(|t| t.grid * vit.patch_size).collect();
        unknown(format!(
            "pos_embed fits inputs of {sizes:?} pixels a side, and no file tells which; give --image-size"
        ))
    })?;
    settle_side(ledger, (table.grid * vit.patch_size, rows), sides, asked)?;
    if vit.prefix_tokens() > 0 {
        let shape = Told::shape(table.rows == 0, format!("pos_embed with {rows} rows"));
        ledger.note("no_embed_class", shape);
    }
    Ok(table)
}

/// The side that the table is for must be the one that files tell, unless another was asked for.
fn settle_side(
    ledger: &mut Ledger,
    (side, rows): (usize, usize),
    sides: Vec<Option<Told<usize>>>,
    asked: Option<usize>,
) -> Result<(), Error> {
    let shape = Told::shape(side, format!("pos_embed with {rows} rows"));
    let told = sides.into_iter().filter(|_| asked.is_none());
    ledger.settle("image_size", [shape].into_iter().chain(told), None)?;
    if asked.is_some_and(|asked| asked != side) {
        ledger.note("image_size, resampled to", Told::flag(asked, "image-size"));
    }
    Ok(())
}

/// Gives the table the rows that ours has: one for class and distillation token each, none for registers. Rows of
/// registers are added to the registers, where timm adds them when it runs.
pub(super) fn place(from: &mut Checkpoint, vit: &VitConfig, table: Table) {
    let (d, placed) = (vit.width, vit.placed_tokens());
    let Some(mut positions) = from.tensors.remove("pos_embed") else { return };
    if table.rows == 0 {
        positions.data.splice(0..0, std::iter::repeat_n(0.0, placed * d));
    } else if table.rows > placed {
        let rows: Vec<f32> = positions.data.drain(placed * d..table.rows * d).collect();
        if let Some(registers) = from.tensors.get_mut("reg_token") {
            registers.data.iter_mut().zip(rows).for_each(|(token, row)| *token += row);
        }
    }
    positions.shape = vec![1, positions.data.len() / d.max(1), d];
    from.tensors.insert("pos_embed".into(), positions);
}
