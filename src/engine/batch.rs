//! From rows to a program's inputs. Pure.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::bank::Banked;
use super::error::Error;
use super::padding::{SEEN, pad_into};
use super::pixels::{Entering, Samples};
use crate::backbone::{BackboneConfig, Form, Module, Part};
use crate::graph::{IMAGES, MEAN, PREPARED, ParameterName, Plan, SAMPLES, STATES, STD};
use crate::pack::{Pack, Weights};
use crate::runtime::{DeviceTensor, Element, Held, HeldInput, HostList, HostMemory, Input};

/// Inputs of one run.
pub(super) struct Batch<'a> {
    laid: Laid,
    tensors: Vec<Tensor<'a>>,
    /// The samples, at the first block.
    samples: Option<(Vec<usize>, Elements<'a, u8>)>,
    /// Whose state each row goes on from, behind the first block.
    images: Option<Vec<i64>>,
    /// Those states, where they lie on the device.
    states: Option<&'a DeviceTensor>,
    banked: Option<Banked>,
    rows: usize,
}

/// Most elements, and most samples, of memory that is kept for the next batch: those of a hundred images, 80 MiB. Of memory
/// that was doubled as it grew, twice as many.
const KEPT: usize = 1 << 24;

/// Memory that batches are laid out in, one after the other: what a batch took is there for the next, so that no batch
/// pays for fresh pages.
pub(super) struct Laid {
    elements: HostList<f32>,
    levels: HostList<u8>,
}

/// One input.
struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    elements: Elements<'a, f32>,
}

/// Where a tensor's elements are.
enum Elements<'a, T> {
    /// Where they always were.
    There(&'a [T]),
    /// Laid out for this batch.
    Laid(Range<usize>),
}

/// One row of a batch: an image under a pack.
#[derive(Clone, Copy)]
pub(super) struct BatchRow<'a> {
    /// What the program's first block reads of it.
    pub(super) entering: Entering<'a>,
    /// Whose modules it runs under, if any.
    pub(super) pack: Option<&'a Arc<Pack>>,
}

impl<'a> BatchRow<'a> {
    /// A row under no pack.
    pub(super) fn bare(entering: Entering<'a>) -> Self {
        Self { entering, pack: None }
    }

    fn weights(&self, module: Module) -> Option<&'a Weights> {
        self.pack.and_then(|pack| pack.weights.get(&module))
    }
}

impl<'a> Batch<'a> {
    /// Lays out `rows`, those with samples first (see [`samples_first`]), for the program of `plan`, whose modules cover those
    /// of the rows from its first block on.
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
    ) -> Result<Self, Error> {
        let First { mut tensors, samples, images, states } = first(rows, plan, config, &mut laid)?;
        let address = |row: &BatchRow<'a>| row.pack.map(Arc::as_ptr);
        let is_shared = rows.iter().all(|row| address(row) == address(&rows[0]));
        for module in plan.modules.iter() {
            let own: Vec<Option<&Weights>> = match is_shared && module.form != Form::Prompts {
                true => vec![rows[0].weights(module)],
                false => rows.iter().map(|row| row.weights(module)).collect(),
            };
            for &part in module.form.fed() {
                tensors.extend(fed(&own, (module, part), config, &mut laid)?);
            }
        }
        Ok(Self { laid, tensors, samples, images, states, banked: None, rows: rows.len() })
    }

    /// The same of rows whose modules' tensors lie in the bank.
    pub(super) fn banked(
        rows: &[BatchRow<'a>],
        plan: &Plan,
        config: &BackboneConfig,
        (banked, mut laid): (Banked, Laid),
    ) -> Result<Self, Error> {
        let First { tensors, samples, images, states } = first(rows, plan, config, &mut laid)?;
        Ok(Self { laid, tensors, samples, images, states, banked: Some(banked), rows: rows.len() })
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
                data: elements.of(self.laid.elements.as_slice()),
            })
            .collect()
    }

    /// The inputs that lie in the bank, and those of bytes and of numbers.
    pub(super) fn held(&self) -> Vec<HeldInput<'_>> {
        let mut held = self.banked.as_ref().map(Banked::inputs).unwrap_or_default();
        held.extend(self.samples.as_ref().map(|(shape, levels)| {
            let data = levels.of(self.laid.levels.as_slice());
            HeldInput { name: SAMPLES, held: Held::Bytes { shape, data } }
        }));
        held.extend(self.states.map(|states| HeldInput { name: STATES, held: Held::Tensor(states) }));
        let images = self.images.as_deref();
        held.extend(images.map(|images| HeldInput { name: IMAGES, held: Held::Numbers(images) }));
        held
    }

    /// The memory, for the next batch.
    pub(super) fn into_laid(self) -> Laid {
        let mut laid = self.laid;
        laid.elements.clear(KEPT);
        laid.levels.clear(KEPT);
        laid
    }
}

impl Laid {
    /// None yet, in memory that the device reads.
    pub(super) fn new(memory: &Arc<HostMemory>) -> Self {
        Self { elements: HostList::new(memory), levels: HostList::new(memory) }
    }
}

impl<T> Elements<'_, T> {
    /// The elements, of which those that were laid out lie in `laid`.
    fn of<'b>(&'b self, laid: &'b [T]) -> &'b [T] {
        match self {
            Self::There(values) => values,
            Self::Laid(range) => &laid[range.clone()],
        }
    }
}

/// The order in which rows with samples come first, where they do not.
pub(super) fn samples_first(rows: &[BatchRow<'_>]) -> Option<Vec<usize>> {
    let is_later = |row: &usize| rows[*row].entering.samples().is_none();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(is_later);
    (!order.is_sorted()).then_some(order)
}

/// What enters a plan's first block.
#[derive(Default)]
struct First<'a> {
    tensors: Vec<Tensor<'a>>,
    samples: Option<(Vec<usize>, Elements<'a, u8>)>,
    images: Option<Vec<i64>>,
    states: Option<&'a DeviceTensor>,
}

fn first<'a>(
    rows: &[BatchRow<'a>],
    plan: &Plan,
    config: &BackboneConfig,
    laid: &mut Laid,
) -> Result<First<'a>, Error> {
    let start = plan.blocks.start;
    let there: Vec<(&DeviceTensor, usize)> = rows.iter().filter_map(|row| row.entering.state()).collect();
    if let Some(&(states, _)) = there.first() {
        debug_assert_eq!(there.len(), rows.len(), "a batch's states lie in one place");
        let images = there.iter().map(|(_, entry)| *entry as i64).collect();
        return Ok(First { images: Some(images), states: Some(states), ..First::default() });
    }
    let mut tensor = |name: &str, rows: &[&'a [f32]], row: Vec<usize>| -> Result<_, Error> {
        let (shape, elements) = ([vec![rows.len()], row].concat(), joined(&mut laid.elements, rows)?);
        Ok(Tensor { name: name.into(), shape, elements })
    };
    let values: Vec<&[f32]> = rows.iter().filter_map(|row| row.entering.values()).collect();
    if start > 0 {
        let (states, images) = by_image(&values);
        let tensors = vec![tensor(STATES, &states, config.input_shape(start))?];
        return Ok(First { tensors, images: Some(images), ..First::default() });
    }
    let samples: Vec<&Samples> = rows.iter().filter_map(|row| row.entering.samples()).collect();
    let means: Vec<&[f32]> = samples.iter().map(|own| &own.mean[..]).collect();
    let deviations: Vec<&[f32]> = samples.iter().map(|own| &own.std[..]).collect();
    let levels: Vec<&[u8]> = samples.iter().map(|own| &own.levels[..]).collect();
    let side = config.image_size();
    let tensors = vec![
        tensor(PREPARED, &values, config.input_shape(start))?,
        tensor(MEAN, &means, vec![3, 1, 1])?,
        tensor(STD, &deviations, vec![3, 1, 1])?,
    ];
    let shape = vec![samples.len(), side, side, 3];
    let samples = Some((shape, joined(&mut laid.levels, &levels)?));
    Ok(First { tensors, samples, ..First::default() })
}

/// Each state once, wherever it lies, and which of them each row has.
fn by_image<'a>(rows: &[&'a [f32]]) -> (Vec<&'a [f32]>, Vec<i64>) {
    let mut places: HashMap<*const f32, usize> = HashMap::new();
    let mut states = Vec::new();
    let mut place = |row: &&'a [f32]| {
        *places.entry(row.as_ptr()).or_insert_with(|| {
            states.push(*row);
            states.len() - 1
        }) as i64
    };
    let images = rows.iter().map(&mut place).collect();
    (states, images)
}

/// Rows one after the other; a single one where it is.
fn joined<'a, T: Element>(laid: &mut HostList<T>, rows: &[&'a [T]]) -> Result<Elements<'a, T>, Error> {
    if let [row] = rows {
        return Ok(Elements::There(row));
    }
    Ok(Elements::Laid(laid.extend(rows)?))
}

/// One tensor of a module for rows that have it or not: one for all rows where `own` has one entry or nobody has it.
/// None where the backbone has no such place, which a plan rules out.
fn fed<'a>(
    own: &[Option<&'a Weights>],
    (module, part): (Module, Part),
    config: &BackboneConfig,
    laid: &mut Laid,
) -> Result<Option<Tensor<'a>>, Error> {
    let name = ParameterName::Module(module, part).to_string();
    let widest = own.iter().flatten().map(|weights| weights.width).max().unwrap_or(0);
    let Some(shape) = config.part_shape(module, part, widest) else { return Ok(None) };
    let size: usize = shape.iter().product();
    let (shape, elements) = match own {
        [Some(_)] if part == Part::Mask => (shape, Elements::Laid(laid.elements.fill(size, SEEN, |_| {})?)),
        [Some(weights)] => (shape, Elements::There(weights.part(part))),
        own if own.iter().all(Option::is_none) && module.form != Form::Prompts => {
            (shape, Elements::Laid(laid.elements.fill(size, part.neutral(), |_| {})?))
        }
        own => {
            let pad = |elements: &mut [f32]| {
                for (weights, entry) in own.iter().zip(elements.chunks_exact_mut(size.max(1))) {
                    if let Some(weights) = weights {
                        pad_into(entry, weights, part, widest);
                    }
                }
            };
            let range = laid.elements.fill(own.len() * size, part.neutral(), pad)?;
            // Where the first axis is 1, it becomes the rows.
            let rest = if part.has_row_axis() { &shape[1..] } else { &shape[..] };
            ([&[own.len()], rest].concat(), Elements::Laid(range))
        }
    };
    Ok(Some(Tensor { name, shape, elements }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_rows_share_is_fed_once() {
        let (a, b, like_a) = (vec![1.0; 4], vec![2.0; 4], vec![1.0; 4]);
        let (states, images) = by_image(&[&a, &b, &a, &like_a, &b]);
        assert_eq!(images, [0, 1, 0, 2, 1]);
        assert_eq!(states, [&a[..], &b, &like_a]);
    }
}
