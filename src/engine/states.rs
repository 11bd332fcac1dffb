//! Outputs of frozen blocks that stay on the device: what runs below a cut leaves them there, and what runs above reads them
//! there, in this batch or a later one that has the image.
//!
//! States of one shape lie in one tensor, so that a run reads any of them by their entries. Its first entries are for batches
//! that keep nothing, the others for images that are kept: so nobody's images take away what others keep.

mod ring;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::options::EngineOptions;
use super::prefixes::{Known, Prefix};
use crate::backbone::BackboneConfig;
use crate::metrics::Metrics;
use crate::runtime::{DeviceMemory, DeviceTensor};
use ring::{Pin, Ring};

/// Batches of each worker that have room whatever is kept: one that runs, and one beside it.
const BATCHES: usize = 2;
/// Most images of such a batch. Where nothing is kept of them, more go by the host.
const IMAGES: usize = 32;

/// The states on a device, within a budget of bytes.
pub(super) struct States {
    config: Arc<BackboneConfig>,
    /// Bytes for the kept states of one shape.
    bytes: u64,
    /// Entries of each shape for batches that keep nothing; those behind them are kept.
    running: usize,
    shelves: Mutex<Shelves>,
    metrics: Arc<Metrics>,
}

struct Shelves {
    memory: DeviceMemory,
    /// None where the device had no room.
    by_shape: HashMap<Vec<usize>, Option<Shelf>>,
}

/// The states of one shape.
struct Shelf {
    tensor: Arc<DeviceTensor>,
    /// The first entries.
    running: Ring<Prefix>,
    /// Those behind them.
    kept: Ring<Prefix>,
}

/// A state, which stays as it is while this lives.
#[derive(Clone)]
pub(super) struct State {
    tensor: Arc<DeviceTensor>,
    entry: usize,
    _pin: Pin,
}

impl State {
    /// The tensor that has it, and which of its entries it is.
    pub(super) fn place(&self) -> (&DeviceTensor, usize) {
        (&self.tensor, self.entry)
    }
}

/// Entries side by side, to be filled by a run. ONNX Runtime has ended a run's work on the device when it returns.
pub(super) struct Room {
    tensor: Arc<DeviceTensor>,
    entries: Range<usize>,
    pins: Vec<Pin>,
}

impl Room {
    /// Where they are.
    pub(super) fn place(&self) -> (&DeviceTensor, Range<usize>) {
        (&self.tensor, self.entries.clone())
    }

    /// What was filled, in order.
    pub(super) fn states(&self) -> impl Iterator<Item = State> {
        let state = |(entry, pin)| State { tensor: Arc::clone(&self.tensor), entry, _pin: Arc::clone(pin) };
        self.entries.clone().zip(&self.pins).map(state)
    }
}

impl States {
    /// Room for as many bytes of kept states, and for the batches that run.
    pub(super) fn new(
        memory: DeviceMemory,
        config: Arc<BackboneConfig>,
        (bytes, options): (u64, &EngineOptions),
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut shapes: Vec<Vec<usize>> = (1..config.depth()).map(|cut| config.input_shape(cut)).collect();
        shapes.sort();
        shapes.dedup();
        let bytes = bytes / shapes.len().max(1) as u64;
        let running = BATCHES * options.workers.max(1) * options.max_batch.clamp(1, IMAGES);
        let shelves = Mutex::new(Shelves { memory, by_shape: HashMap::new() });
        Self { config, bytes, running, shelves, metrics }
    }

    /// Whether states before a block are kept at all.
    pub(super) fn keeps(&self, block: usize) -> bool {
        let shape = self.config.input_shape(block);
        match self.lock().by_shape.get(&shape) {
            Some(shelf) => shelf.as_ref().is_some_and(|shelf| shelf.kept.capacity() > 0),
            None => self.room_to_keep(&shape) > 0,
        }
    }

    /// Whether an image's state before a block is here.
    pub(super) fn holds(&self, image: Known, block: usize) -> bool {
        let shelves = &mut *self.lock();
        let shelf = self.shelf_of(shelves, block);
        shelf.is_some_and(|shelf| shelf.kept.holds(&Prefix { image, block }))
    }

    /// An image's state before a block.
    pub(super) fn find(&self, image: Known, block: usize) -> Option<State> {
        let shelves = &mut *self.lock();
        let shelf = self.shelf_of(shelves, block)?;
        let (place, _pin) = shelf.kept.find(&Prefix { image, block })?;
        Some(State { tensor: Arc::clone(&shelf.tensor), entry: self.running + place, _pin })
    }

    /// Room for the states of so many images before a block, among those that are kept or not; none where too many are asked
    /// for, where what is read leaves none side by side, and on a device that is full.
    pub(super) fn take(&self, block: usize, images: usize, is_kept: bool) -> Option<Room> {
        let shelves = &mut *self.lock();
        let shape = self.config.input_shape(block);
        if !shelves.by_shape.contains_key(&shape) {
            let shelf = self.shelf(&shelves.memory, &shape);
            shelves.by_shape.insert(shape, shelf);
        }
        let taken = self.shelf_of(shelves, block).and_then(|shelf| {
            let (first, ring) = match is_kept {
                true => (self.running, &mut shelf.kept),
                false => (0, &mut shelf.running),
            };
            let (places, pins) = ring.take(images).filter(|_| is_kept || images <= IMAGES)?;
            let entries = first + places.start..first + places.end;
            Some(Room { tensor: Arc::clone(&shelf.tensor), entries, pins })
        });
        self.metrics.engine.states_by_host.inc_by(u64::from(taken.is_none()));
        taken
    }

    /// Keeps a state that was filled for whoever brings the image again, if it lies where states are kept.
    pub(super) fn keep(&self, image: Known, block: usize, state: &State) {
        let shelves = &mut *self.lock();
        let Some(shelf) = self.shelf_of(shelves, block) else { return };
        if let Some(place) = state.entry.checked_sub(self.running) {
            shelf.kept.name(place, Prefix { image, block });
        }
    }

    fn shelf_of<'a>(&self, shelves: &'a mut Shelves, block: usize) -> Option<&'a mut Shelf> {
        shelves.by_shape.get_mut(&self.config.input_shape(block))?.as_mut()
    }

    /// States of a shape that the bytes allow to keep.
    fn room_to_keep(&self, shape: &[usize]) -> usize {
        let state = 4 * shape.iter().product::<usize>().max(1) as u64;
        usize::try_from(self.bytes / state).unwrap_or(usize::MAX)
    }

    /// The shelf of a shape; one that keeps nothing where the device has no room for more, and none where it has none at all.
    fn shelf(&self, memory: &DeviceMemory, shape: &[usize]) -> Option<Shelf> {
        let mut tried = vec![self.room_to_keep(shape), 0];
        tried.dedup();
        for room_to_keep in tried {
            match memory.room(&[&[self.running.saturating_add(room_to_keep)], shape].concat()) {
                Ok(tensor) => {
                    self.metrics.engine.states_bytes.add(i64::try_from(tensor.bytes()).unwrap_or(i64::MAX));
                    let (running, kept) = (Ring::new(self.running), Ring::new(room_to_keep));
                    return Some(Shelf { tensor: Arc::new(tensor), running, kept });
                }
                Err(error) => {
                    tracing::warn!(room_to_keep, %error, "the device has no room for so many states of images");
                }
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
