//! From rows to a program's inputs. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use crate::backbone::{BackboneConfig, Site};
use crate::graph::{HIDDEN, PIXELS, Plan, down_input, up_input};
use crate::pack::{Adapter, Pack};
use crate::runtime::Input;

/// A named tensor, borrowed where it can be read in place.
struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    data: Cow<'a, [f32]>,
}

/// Inputs of one run.
pub(super) struct Batch<'a> {
    tensors: Vec<Tensor<'a>>,
    rows: usize,
}

/// One row of a batch: an image under a pack.
pub(super) struct BatchRow<'a> {
    /// Its pixels, `[3, S, S]`, or what the blocks before the program's first left, `[N, D]`.
    pub(super) values: &'a [f32],
    /// Whose adapters it runs under.
    pub(super) pack: &'a Arc<Pack>,
}

/// Which of an adapter's two matrices.
#[derive(Clone, Copy)]
enum Side {
    Down,
    Up,
}

impl<'a> Batch<'a> {
    /// Lays out `rows` for the program of `plan`, whose sites cover those of the rows from its first block on.
    ///
    /// # Shapes
    /// Adapters are `[D, R]`, `[R, D]` when all rows share one pack, else `[B, D, R]`, `[B, R, D]` with R the
    /// widest in the batch. The padding is exact: a padded neuron computes `act(0) · 0 = 0`.
    pub(super) fn assemble(rows: &[BatchRow<'a>], plan: &Plan, config: &BackboneConfig) -> Self {
        let values: Vec<&[f32]> = rows.iter().map(|row| row.values).collect();
        let mut tensors = vec![first(&values, plan, config)];
        for site in plan.sites.iter() {
            let d = config.block_width(site.block);
            tensors.push(adapter(rows, site, d, Side::Down));
            tensors.push(adapter(rows, site, d, Side::Up));
        }
        Self { tensors, rows: rows.len() }
    }

    /// Rows that run under no pack.
    pub(super) fn without_adapters(rows: &[&'a [f32]], plan: &Plan, config: &BackboneConfig) -> Self {
        let mut tensors = vec![first(rows, plan, config)];
        for site in plan.sites.iter() {
            let d = config.block_width(site.block);
            let empty = |name, shape| Tensor { name, shape, data: Cow::Borrowed(&[][..]) };
            tensors.push(empty(down_input(site), vec![d, 0]));
            tensors.push(empty(up_input(site), vec![0, d]));
        }
        Self { tensors, rows: rows.len() }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The inputs, borrowed.
    pub(super) fn inputs(&self) -> Vec<Input<'_>> {
        self.tensors.iter().map(|t| Input { name: &t.name, shape: &t.shape, data: &t.data }).collect()
    }
}

/// What enters a plan's first block.
fn first<'a>(rows: &[&'a [f32]], plan: &Plan, config: &BackboneConfig) -> Tensor<'a> {
    let start = plan.blocks.start;
    let name = if start == 0 { PIXELS } else { HIDDEN };
    let shape = [vec![rows.len()], config.input_shape(start)].concat();
    let data = match rows {
        [row] => Cow::Borrowed(*row),
        rows => Cow::Owned(rows.concat()),
    };
    Tensor { name: name.into(), shape, data }
}

fn adapter<'a>(rows: &[BatchRow<'a>], site: Site, d: usize, side: Side) -> Tensor<'a> {
    let name = match side {
        Side::Down => down_input(site),
        Side::Up => up_input(site),
    };
    let widest = rows.iter().filter_map(|row| row.pack.adapter(site)).map(|a| a.width).max().unwrap_or(0);
    let matrix = match side {
        Side::Down => [d, widest],
        Side::Up => [widest, d],
    };
    let shared = rows.iter().all(|row| Arc::ptr_eq(row.pack, rows[0].pack));
    let (shape, data) = match rows[0].pack.adapter(site) {
        Some(only) if shared => (matrix.to_vec(), Cow::Borrowed(weights(only, side))),
        _ if widest == 0 => (matrix.to_vec(), Cow::Borrowed(&[][..])),
        _ => {
            let mut data = vec![0.0; rows.len() * d * widest];
            for (row, slot) in rows.iter().zip(data.chunks_exact_mut(d * widest)) {
                if let Some(adapter) = row.pack.adapter(site) {
                    pad_into(slot, adapter, widest, side);
                }
            }
            ([&[rows.len()], &matrix[..]].concat(), Cow::Owned(data))
        }
    };
    Tensor { name, shape, data }
}

fn weights(adapter: &Adapter, side: Side) -> &[f32] {
    match side {
        Side::Down => &adapter.down,
        Side::Up => &adapter.up,
    }
}

/// Copies an adapter into a slot of zeros that is `widest` neurons wide.
fn pad_into(slot: &mut [f32], adapter: &Adapter, widest: usize, side: Side) {
    match side {
        // [D, R]: each row of R values begins a row of `widest`.
        Side::Down => {
            let rows = slot.chunks_exact_mut(widest).zip(adapter.down.chunks_exact(adapter.width));
            rows.for_each(|(to, from)| to[..adapter.width].copy_from_slice(from));
        }
        // [R, D]: the R rows come first, the rest stays zero.
        Side::Up => slot[..adapter.up.len()].copy_from_slice(&adapter.up),
    }
}
