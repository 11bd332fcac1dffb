//! Small batches that read and write the same places on the device, so that a GPU replays what it did before.
//!
//! A small batch takes as long as the host needs to launch its operators one by one. As a CUDA graph they are one launch, which
//! does again exactly what was captured, with the same addresses. So what a batch brings is copied to places that stay, and what
//! comes of it is copied from one. Rows are filled up to a power of two, so that few sizes are captured.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use super::batch::Batch;
use super::error::Error;
use crate::graph::PREPARED;
use crate::metrics::Metrics;
use crate::runtime::{
    AnyTensor, DeviceMemory, DeviceTensor, Element, Held, HeldInput, HeldOutput, Input, Output, Program,
    Replayed,
};

/// Most elements that are compared with what is there before they are copied: often it is the same.
const COMPARED: usize = 4096;

/// A worker's places.
pub(super) struct Replays {
    /// Most rows of a batch.
    most: usize,
    elements: Places<f32>,
    levels: Places<u8>,
    numbers: Places<i64>,
    outputs: Places<f32>,
    memory: DeviceMemory,
    metrics: Arc<Metrics>,
}

/// Places, by the name of what lies there and its shape.
type Places<T> = HashMap<(String, Vec<usize>), Place<T>>;

/// A tensor that stays.
struct Place<T: Element> {
    tensor: Arc<DeviceTensor<T>>,
    /// What was copied there last, where it is compared.
    here: Vec<T>,
}

/// What a program reads by name.
type Fed = Vec<(String, Arc<dyn AnyTensor>)>;

/// A batch in its places.
struct Placed {
    fed: Fed,
    output: Arc<DeviceTensor>,
    /// The output's name.
    name: String,
}

impl Placed {
    /// What a run reads: the places, and what lies on the device anyway.
    fn read<'a>(&'a self, batch: &'a Batch<'_>) -> Vec<HeldInput<'a>> {
        let fed = self.fed.iter().map(|(name, own)| HeldInput { name, held: Held::Tensor(&**own) });
        fed.chain(batch.held().into_iter().filter(|input| matches!(input.held, Held::Tensor(_)))).collect()
    }

    fn written(&self) -> HeldOutput<'_> {
        HeldOutput::whole(&self.name, &self.output)
    }
}

impl Replays {
    /// None yet, for batches of at most so many rows.
    pub(super) fn new(memory: DeviceMemory, most: usize, metrics: Arc<Metrics>) -> Self {
        let (elements, levels, numbers, outputs) = Default::default();
        Self { most, elements, levels, numbers, outputs, memory, metrics }
    }

    /// Whether a batch may be replayed: a small one whose packs are on the device, each of whose tensors has an entry for each
    /// row. One that brings pixels along is not.
    pub(super) fn takes(&self, batch: &Batch<'_>) -> bool {
        let rows = batch.rows();
        let is_by_row = |shape: &[usize]| shape.first() == Some(&rows);
        let fits = |input: &HeldInput<'_>| match input.held {
            Held::Tensor(_) => true,
            Held::Numbers(numbers) => numbers.len() == rows,
            Held::Bytes { shape, .. } => is_by_row(shape),
        };
        rows.next_power_of_two() <= self.most
            && batch.inputs().iter().all(|input| is_by_row(input.shape) || is_unread(input))
            && batch.held().iter().all(fits)
    }

    /// Runs a batch that is taken; its output, an entry for each row. None where it has to wait for others to be captured.
    pub(super) fn run(&mut self, program: &mut Program, batch: &Batch<'_>) -> Result<Option<Output>, Error> {
        let Some(made) = self.replay(program, batch)? else { return Ok(None) };
        let (rows, rest) = (batch.rows(), made.shape().get(1..).unwrap_or_default());
        Ok(Some(Output { shape: [&[rows], rest].concat(), data: made.first(rows)? }))
    }

    /// As [`Replays::run`], with the output copied to entries of a tensor on the device.
    pub(super) fn run_to(
        &mut self,
        (program, batch): (&mut Program, &Batch<'_>),
        (tensor, entries): (&DeviceTensor, &Range<usize>),
    ) -> Result<Option<()>, Error> {
        let Some(made) = self.replay(program, batch)? else { return Ok(None) };
        Ok(Some(made.copy_to((tensor, entries))?))
    }

    /// Runs a batch, filled up with rows that nobody reads; where its output is.
    fn replay(
        &mut self,
        program: &mut Program,
        batch: &Batch<'_>,
    ) -> Result<Option<Arc<DeviceTensor>>, Error> {
        if program.needs_widest() {
            // What kernels keep from run to run is as large as it will be before the first one is captured.
            let widest = self.place(program, batch, 1 << self.most.max(1).ilog2())?;
            program.run_into(&[], (&widest.read(batch), &[widest.written()]))?;
        }
        let placed = self.place(program, batch, batch.rows().next_power_of_two())?;
        match program.replay(&placed.read(batch), &placed.written())? {
            Replayed::Busy => return Ok(None),
            Replayed::Captured => self.metrics.engine.graphs_captured.inc(),
            Replayed::Again => self.metrics.engine.batches_replayed.inc(),
        }
        Ok(Some(placed.output))
    }

    /// Copies what a batch brings to its places for so many rows, and finds one for what comes of it.
    fn place(&mut self, program: &Program, batch: &Batch<'_>, rows: usize) -> Result<Placed, Error> {
        let fed = self.feed(batch, rows)?;
        let (name, row) = program.row_output()?;
        let output = place(&mut self.outputs, &self.memory, (&name, [&[rows], &row[..]].concat()), 0.0)?;
        Ok(Placed { fed, output: Arc::clone(&output.tensor), name })
    }

    /// Copies what a batch brings to its places.
    fn feed(&mut self, batch: &Batch<'_>, rows: usize) -> Result<Fed, Error> {
        let Self { memory, elements, levels, numbers, .. } = self;
        let filled = |shape: &[usize]| [&[rows], shape.get(1..).unwrap_or_default()].concat();
        let mut fed = Fed::new();
        for input in batch.inputs().into_iter().filter(|input| !is_unread(input)) {
            // 1, since a standard deviation of 0 would make rows infinite that fill up.
            let place = place(elements, memory, (input.name, filled(input.shape)), 1.0)?;
            fed.push((input.name.into(), place.hold(input.data)?));
        }
        for HeldInput { name, held } in batch.held() {
            let tensor: Arc<dyn AnyTensor> = match held {
                Held::Tensor(_) => continue,
                Held::Bytes { shape, data } => place(levels, memory, (name, filled(shape)), 0)?.hold(data)?,
                Held::Numbers(own) => {
                    // Entries that a batch before read may be of a larger tensor.
                    let all: Vec<i64> = own.iter().copied().chain(std::iter::repeat(0)).take(rows).collect();
                    place(numbers, memory, (name, vec![rows]), 0)?.hold(&all)?
                }
            };
            fed.push((name.into(), tensor));
        }
        Ok(fed)
    }
}

/// Whether it is what a replayed program does not read: pixels, of which the batch has none.
fn is_unread(input: &Input<'_>) -> bool {
    input.name == PREPARED && input.data.is_empty()
}

impl<T: Element + PartialEq> Place<T> {
    /// Copies entries there, from the first on, where they are not there already.
    fn hold(&mut self, values: &[T]) -> Result<Arc<DeviceTensor<T>>, Error> {
        let is_compared = values.len() <= COMPARED;
        if !is_compared || self.here != values {
            self.here.clear();
            let entry = self.tensor.shape().get(1..).unwrap_or_default().iter().product::<usize>();
            self.tensor.write_all(0..values.len() / entry.max(1), values)?;
            self.here.extend(values.iter().filter(|_| is_compared));
        }
        Ok(Arc::clone(&self.tensor))
    }
}

/// A place, made of one value where it is new.
fn place<'a, T: Element>(
    places: &'a mut Places<T>,
    memory: &DeviceMemory,
    (name, shape): (&str, Vec<usize>),
    value: T,
) -> Result<&'a mut Place<T>, Error> {
    match places.entry((name.to_owned(), shape)) {
        Entry::Occupied(place) => Ok(place.into_mut()),
        Entry::Vacant(empty) => {
            let tensor = Arc::new(memory.filled(&empty.key().1, value)?);
            Ok(empty.insert(Place { tensor, here: Vec::new() }))
        }
    }
}
