//! From rows to a program's inputs. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use crate::backbone::{BackboneConfig, Form, Module, Part};
use crate::graph::{Fed, HIDDEN, PIXELS, ParameterName, Plan};
use crate::pack::{Pack, Weights};
use crate::runtime::Input;

/// What is added to the score of a key that a row has.
const SEEN: f32 = 0.0;

/// Inputs of one run.
pub(super) struct Batch<'a> {
    tensors: Vec<Fed<'a>>,
    rows: usize,
}

/// One row of a batch: an image under a pack.
pub(super) struct BatchRow<'a> {
    /// Its pixels, `[3, S, S]`, or what the blocks before the program's first left, `[N, D]`.
    pub(super) values: &'a [f32],
    /// Whose modules it runs under.
    pub(super) pack: &'a Arc<Pack>,
}

impl<'a> Batch<'a> {
    /// Lays out `rows` for the program of `plan`, whose modules cover those of the rows from its first block on.
    ///
    /// # Shapes
    /// Matrices are `[D_in, R]`, `[R, D_out]` when all rows share one pack, else `[B, D_in, R]`, `[B, R, D_out]` with R
    /// the widest in the batch. The padding is exact: a padded neuron adds `act(0) · 0 = 0`, a row without the module
    /// is multiplied by 1 and gets 0 added.
    pub(super) fn assemble(rows: &[BatchRow<'a>], plan: &Plan, config: &BackboneConfig) -> Self {
        let values: Vec<&[f32]> = rows.iter().map(|row| row.values).collect();
        let mut tensors = vec![first(&values, plan, config)];
        let is_shared = rows.iter().all(|row| Arc::ptr_eq(row.pack, rows[0].pack));
        for module in plan.modules.iter() {
            let own: Vec<Option<&Weights>> = match is_shared && module.form != Form::Prompts {
                true => vec![rows[0].pack.weights.get(&module)],
                false => rows.iter().map(|row| row.pack.weights.get(&module)).collect(),
            };
            tensors.extend(of_module(&own, module, config));
        }
        Self { tensors, rows: rows.len() }
    }

    /// Rows that run under no pack.
    pub(super) fn without_modules(rows: &[&'a [f32]], plan: &Plan, config: &BackboneConfig) -> Self {
        let mut tensors = vec![first(rows, plan, config)];
        for module in plan.modules.iter() {
            let copies = if module.form == Form::Prompts { rows.len() } else { 1 };
            tensors.extend(of_module(&vec![None; copies], module, config));
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
fn first<'a>(rows: &[&'a [f32]], plan: &Plan, config: &BackboneConfig) -> Fed<'a> {
    let start = plan.blocks.start;
    let name = if start == 0 { PIXELS } else { HIDDEN };
    let shape = [vec![rows.len()], config.input_shape(start)].concat();
    let data = match rows {
        [row] => Cow::Borrowed(*row),
        rows => Cow::Owned(rows.concat()),
    };
    Fed { name: name.into(), shape, data }
}

/// The tensors of a module for rows that have it or not.
fn of_module<'a>(own: &[Option<&'a Weights>], module: Module, config: &BackboneConfig) -> Vec<Fed<'a>> {
    module.form.fed().iter().filter_map(|&part| fed(own, module, part, config)).collect()
}

/// One tensor of a module for rows that have it or not: one for all rows where `own` has one entry or nobody has it.
/// None where the backbone has no such place, which a plan rules out.
fn fed<'a>(
    own: &[Option<&'a Weights>],
    module: Module,
    part: Part,
    config: &BackboneConfig,
) -> Option<Fed<'a>> {
    let name = ParameterName::Module(module, part).to_string();
    let widest = own.iter().flatten().map(|weights| weights.width).max().unwrap_or(0);
    let shape = config.part_shape(module, part, widest)?;
    let elements: usize = shape.iter().product();
    let neutral = |count: usize| vec![part.neutral(); count * elements];
    let (shape, data) = match own {
        [Some(_)] if part == Part::Mask => (shape, Cow::Owned(vec![SEEN; elements])),
        [Some(weights)] => (shape, Cow::Borrowed(weights.part(part))),
        own if own.iter().all(Option::is_none) && module.form != Form::Prompts => {
            (shape, Cow::Owned(neutral(1)))
        }
        own => {
            let mut data = neutral(own.len());
            for (weights, slot) in own.iter().zip(data.chunks_exact_mut(elements.max(1))) {
                if let Some(weights) = weights {
                    pad_into(slot, weights, part, widest);
                }
            }
            // Where the first axis is 1, it becomes the rows.
            let rest = if part.has_row_axis() { &shape[1..] } else { &shape[..] };
            ([&[own.len()], rest].concat(), Cow::Owned(data))
        }
    };
    Some(Fed { name, shape, data })
}

/// Copies a tensor into a slot for the widest module.
fn pad_into(slot: &mut [f32], weights: &Weights, part: Part, widest: usize) {
    let values = weights.part(part);
    match part {
        // [D_in, R]: each row of R values begins a row of `widest`.
        Part::Down => {
            let rows = slot.chunks_exact_mut(widest).zip(values.chunks_exact(weights.width));
            rows.for_each(|(to, from)| to[..weights.width].copy_from_slice(from));
        }
        Part::Mask => slot[..weights.width].fill(SEEN),
        // The values come first, the rest stays neutral.
        _ => slot[..values.len()].copy_from_slice(values),
    }
}
