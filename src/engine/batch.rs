//! From rows to a program's inputs. Pure.

use std::ops::Range;
use std::sync::Arc;

use super::bank::Banked;
use super::padding::{SEEN, pad_into};
use crate::backbone::{BackboneConfig, Form, Module, Part};
use crate::graph::{HIDDEN, PIXELS, ParameterName, Plan};
use crate::pack::{Pack, Weights};
use crate::runtime::{HeldInput, Input};

/// Inputs of one run.
pub(super) struct Batch<'a> {
    laid: Laid,
    tensors: Vec<Tensor<'a>>,
    banked: Option<Banked>,
    rows: usize,
}

/// Most elements of memory that is kept for the next batch: the pixels of a hundred images, 64 MiB.
const KEPT: usize = 1 << 24;

/// Memory that batches are laid out in, one after the other: what a batch took is there for the next, so that no batch
/// pays for fresh pages.
#[derive(Default)]
pub(super) struct Laid {
    elements: Vec<f32>,
}

/// One input.
struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    elements: Elements<'a>,
}

/// Where a tensor's elements are.
enum Elements<'a> {
    /// Where they always were.
    There(&'a [f32]),
    /// Laid out for this batch.
    Laid(Range<usize>),
}

/// One row of a batch: an image under a pack.
#[derive(Clone, Copy)]
pub(super) struct BatchRow<'a> {
    /// Its pixels, `[3, S, S]`, or what the blocks before the program's first left, `[N, D]`.
    pub(super) values: &'a [f32],
    /// Whose modules it runs under, if any.
    pub(super) pack: Option<&'a Arc<Pack>>,
}

impl<'a> BatchRow<'a> {
    /// A row under no pack.
    pub(super) fn bare(values: &'a [f32]) -> Self {
        Self { values, pack: None }
    }

    fn weights(&self, module: Module) -> Option<&'a Weights> {
        self.pack.and_then(|pack| pack.weights.get(&module))
    }
}

impl<'a> Batch<'a> {
    /// Lays out `rows` for the program of `plan`, whose modules cover those of the rows from its first block on.
    ///
    /// # Shapes
    /// Matrices are `[D_in, R]`, `[R, D_out]` when all rows share one pack, else `[B, D_in, R]`, `[B, R, D_out]` with R
    /// the widest in the batch. The padding is exact, see [`pad_into`]; a row without the module is multiplied by 1 and
    /// gets 0 added.
    pub(super) fn assemble(
        rows: &[BatchRow<'a>],
        plan: &Plan,
        config: &BackboneConfig,
        mut laid: Laid,
    ) -> Self {
        let mut tensors = vec![first(rows, plan, config, &mut laid)];
        let address = |row: &BatchRow<'a>| row.pack.map(Arc::as_ptr);
        let is_shared = rows.iter().all(|row| address(row) == address(&rows[0]));
        for module in plan.modules.iter() {
            let own: Vec<Option<&Weights>> = match is_shared && module.form != Form::Prompts {
                true => vec![rows[0].weights(module)],
                false => rows.iter().map(|row| row.weights(module)).collect(),
            };
            let parts = module.form.fed().iter();
            tensors.extend(parts.filter_map(|&part| fed(&own, (module, part), config, &mut laid)));
        }
        Self { laid, tensors, banked: None, rows: rows.len() }
    }

    /// The same of rows whose modules' tensors lie in the bank.
    pub(super) fn banked(
        rows: &[BatchRow<'a>],
        plan: &Plan,
        config: &BackboneConfig,
        (banked, mut laid): (Banked, Laid),
    ) -> Self {
        let tensors = vec![first(rows, plan, config, &mut laid)];
        Self { laid, tensors, banked: Some(banked), rows: rows.len() }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The inputs, borrowed.
    pub(super) fn inputs(&self) -> Vec<Input<'_>> {
        self.tensors
            .iter()
            .map(|Tensor { name, shape, elements }| Input {
                name,
                shape,
                data: match elements {
                    Elements::There(values) => values,
                    Elements::Laid(range) => &self.laid.elements[range.clone()],
                },
            })
            .collect()
    }

    /// The inputs that lie in the bank.
    pub(super) fn held(&self) -> Vec<HeldInput<'_>> {
        self.banked.as_ref().map(Banked::inputs).unwrap_or_default()
    }

    /// The memory, for the next batch.
    pub(super) fn into_laid(self) -> Laid {
        let mut laid = self.laid;
        laid.elements.clear();
        laid.elements.shrink_to(KEPT);
        laid
    }
}

impl Laid {
    /// Room for so many elements, all of them `value`.
    fn room(&mut self, count: usize, value: f32) -> Range<usize> {
        let start = self.elements.len();
        self.elements.resize(start + count, value);
        start..self.elements.len()
    }
}

/// What enters a plan's first block.
fn first<'a>(rows: &[BatchRow<'a>], plan: &Plan, config: &BackboneConfig, laid: &mut Laid) -> Tensor<'a> {
    let start = plan.blocks.start;
    let name = if start == 0 { PIXELS } else { HIDDEN };
    let shape = [vec![rows.len()], config.input_shape(start)].concat();
    let elements = match rows {
        [row] => Elements::There(row.values),
        rows => {
            let start = laid.elements.len();
            rows.iter().for_each(|row| laid.elements.extend_from_slice(row.values));
            Elements::Laid(start..laid.elements.len())
        }
    };
    Tensor { name: name.into(), shape, elements }
}

/// One tensor of a module for rows that have it or not: one for all rows where `own` has one entry or nobody has it.
/// None where the backbone has no such place, which a plan rules out.
fn fed<'a>(
    own: &[Option<&'a Weights>],
    (module, part): (Module, Part),
    config: &BackboneConfig,
    laid: &mut Laid,
) -> Option<Tensor<'a>> {
    let name = ParameterName::Module(module, part).to_string();
    let widest = own.iter().flatten().map(|weights| weights.width).max().unwrap_or(0);
    let shape = config.part_shape(module, part, widest)?;
    let size: usize = shape.iter().product();
    let (shape, elements) = match own {
        [Some(_)] if part == Part::Mask => (shape, Elements::Laid(laid.room(size, SEEN))),
        [Some(weights)] => (shape, Elements::There(weights.part(part))),
        own if own.iter().all(Option::is_none) && module.form != Form::Prompts => {
            (shape, Elements::Laid(laid.room(size, part.neutral())))
        }
        own => {
            let range = laid.room(own.len() * size, part.neutral());
            let entries = laid.elements[range.clone()].chunks_exact_mut(size.max(1));
            for (weights, entry) in own.iter().zip(entries) {
                if let Some(weights) = weights {
                    pad_into(entry, weights, part, widest);
                }
            }
            // Where the first axis is 1, it becomes the rows.
            let rest = if part.has_row_axis() { &shape[1..] } else { &shape[..] };
            ([&[own.len()], rest].concat(), Elements::Laid(range))
        }
    };
    Some(Tensor { name, shape, elements })
}
