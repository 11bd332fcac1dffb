//! The bank: packs' tensors on the device, placed once, however many batches read them.
//!
//! A bank has a shelf for each class of widths. On a shelf every pack has one entry, padded to the class, of each module's
//! tensors; entry 0 is what a row without modules reads. A batch says which entry each of its rows reads, and a program
//! takes them with `Gather`. The padding is exact, as a batch's is.

mod shelf;
mod slots;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use crate::backbone::{BackboneConfig, Form, ModuleSet};
use crate::graph::bank_input;
use crate::metrics::Metrics;
use crate::pack::Pack;
use crate::runtime::{DeviceMemory, DeviceTensor, Held, HeldInput};
use shelf::Shelf;
use slots::Pin;

/// Narrowest class of widths.
const NARROWEST: usize = 4;
/// Widest class that packs of all narrower ones share batches with.
const USUAL: usize = 32;
/// A shelf may have this part of the memory whatever others have, so that several classes have room.
const PART: u64 = 4;
/// Packs that a shelf has room for at first, where its part of the memory suffices.
const FIRST: usize = 32;
/// Most packs on a shelf.
const MOST_PACKS: usize = 4096;

/// Packs' tensors on the device, within a budget of bytes.
pub(super) struct Bank {
    config: Arc<BackboneConfig>,
    bytes: u64,
    workers: usize,
    shelves: Mutex<Shelves>,
    metrics: Arc<Metrics>,
}

struct Shelves {
    memory: DeviceMemory,
    by_class: BTreeMap<usize, Shelf>,
    /// Most packs of classes for which the device had no more room.
    ceilings: BTreeMap<usize, usize>,
    /// Counts batches, to tell which shelf was used last.
    batches: u64,
    /// Bytes that the metric counts.
    counted: i64,
}

/// What a batch reads of the bank. Its packs stay where they are as long as it lives. Every worker may read its part of a
/// shelf at once, so that each always finds room.
pub(super) struct Banked {
    slots: Vec<i64>,
    tensors: Vec<(String, Arc<DeviceTensor>)>,
    pins: Vec<Pin>,
}

impl Banked {
    /// The inputs of a run.
    pub(super) fn inputs(&self) -> Vec<HeldInput<'_>> {
        let tensors = self.tensors.iter().map(|(name, own)| HeldInput { name, held: Held::Tensor(&**own) });
        let slots = HeldInput { name: crate::graph::SLOTS, held: Held::Numbers(&self.slots) };
        // A program without modules reads no bank.
        let slots = (!self.tensors.is_empty()).then_some(slots);
        tensors.chain(slots).collect()
    }
}

/// What a batch wants of a shelf.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The pack of each row.
    packs: &'a [Option<&'a Arc<Pack>>],
    /// The program's modules.
    modules: ModuleSet,
    /// Those, and the packs'.
    all: ModuleSet,
}

impl Bank {
    /// An empty bank of at most `bytes` bytes for so many workers.
    pub(super) fn new(
        memory: DeviceMemory,
        config: Arc<BackboneConfig>,
        (bytes, workers): (u64, usize),
        metrics: Arc<Metrics>,
    ) -> Self {
        let shelves = Mutex::new(Shelves {
            memory,
            by_class: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            batches: 0,
            counted: 0,
        });
        Self { config, bytes, workers: workers.max(1), shelves, metrics }
    }

    /// What rows under `packs` read for a program with `modules`; a row without a pack reads neutral tensors. None when
    /// there are more packs than one worker may read at once.
    ///
    /// # Errors
    /// When the device fails, or has no room even without packs of other widths.
    pub(super) fn take(
        &self,
        packs: &[Option<&Arc<Pack>>],
        modules: ModuleSet,
    ) -> Result<Option<Banked>, Error> {
        let class = packs.iter().flatten().map(|pack| class(pack)).max().unwrap_or(NARROWEST);
        let shelves = &mut *self.lock();
        shelves.batches += 1;
        let all = packs.iter().flatten().fold(modules, |all, pack| all.union(pack.modules));
        let wanted = Wanted { packs, modules, all };
        let mut taken = self.lay(shelves, class, wanted);
        while let Err(error) = &taken {
            // The device may be full: of packs that nobody reads now, or of others' memory.
            if !self.give_way(shelves, class, error) {
                break;
            }
            taken = self.lay(shelves, class, wanted);
        }
        self.keep_within(&mut shelves.by_class, class);
        self.count(shelves);
        taken
    }

    /// Makes room on a device that failed: other classes leave, then the class has half as many packs. False where neither
    /// is left to do.
    fn give_way(&self, shelves: &mut Shelves, class: usize, error: &Error) -> bool {
        if shelves.by_class.len() > 1 {
            shelves.by_class.retain(|own, _| *own == class);
            return true;
        }
        let (packs, least) = (shelves.by_class.get(&class).map_or(0, Shelf::capacity), self.workers + 1);
        if packs <= least {
            return false;
        }
        tracing::warn!(class, packs, %error, "the bank makes do with half the room");
        shelves.by_class.remove(&class);
        shelves.ceilings.insert(class, (packs / 2).max(least));
        true
    }

    /// As [`Bank::take`], on the shelf of a class.
    fn lay(&self, shelves: &mut Shelves, class: usize, wanted: Wanted<'_>) -> Result<Option<Banked>, Error> {
        let Wanted { packs, modules, .. } = wanted;
        let ceiling = shelves.ceilings.get(&class).copied().unwrap_or(MOST_PACKS);
        let shelf = self.shelf(&mut shelves.by_class, (class, ceiling), &wanted);
        shelf.last_used = shelves.batches;
        let place = (&shelves.memory, &*self.config);
        let mut taken =
            Banked { slots: Vec::with_capacity(packs.len()), tensors: Vec::new(), pins: Vec::new() };
        for pack in packs {
            match pack.filter(|pack| !pack.modules.is_empty()) {
                None => taken.slots.push(0),
                Some(pack) => {
                    let Some(placed) = shelf.place(pack, place)? else { return Ok(None) };
                    self.metrics.engine.bank_packs_copied.inc_by(u64::from(placed.is_new));
                    let slot = placed.slot as i64;
                    if !taken.slots.contains(&slot) {
                        taken.pins.push(placed.pin);
                    }
                    taken.slots.push(slot);
                    if taken.pins.len() > shelf.capacity() / self.workers {
                        return Ok(None);
                    }
                }
            }
        }
        for module in modules.iter() {
            for &part in module.form.fed() {
                let tensor = shelf.tensor((module, part), place)?;
                let name = bank_input(crate::graph::ParameterName::Module(module, part));
                taken.tensors.extend(tensor.map(|tensor| (name, tensor)));
            }
        }
        Ok(Some(taken))
    }

    /// Shows how much is on the device; other devices' banks show theirs in the same metric.
    fn count(&self, shelves: &mut Shelves) {
        let bytes: u64 = shelves.by_class.values().map(Shelf::bytes).sum();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.engine.bank_bytes.add(bytes - std::mem::replace(&mut shelves.counted, bytes));
    }

    /// The shelf of a class, with room for what is wanted. One that is too small, or too large since packs have more modules
    /// than it was planned for, gives way to another, which is filled as packs are asked for.
    fn shelf<'a>(
        &self,
        shelves: &'a mut BTreeMap<usize, Shelf>,
        (class, ceiling): (usize, usize),
        wanted: &Wanted<'_>,
    ) -> &'a mut Shelf {
        let before = shelves.get(&class).map_or(self.config.adapters(), |shelf| shelf.planned);
        let modules = wanted.all.union(before);
        let entry = 4 * shelf::elements(modules, class, &self.config).max(1) as u64;
        let allowed = self.allowed(shelves, class, entry).min(ceiling);
        let packs = distinct(wanted.packs);
        let held = shelves.get(&class).map_or(0, |shelf| shelf.held_with(&packs));
        let asked = held.max(self.workers * packs.len()).max(FIRST).next_power_of_two().min(allowed);
        if shelves.get(&class).is_some_and(|own| own.capacity() < asked || own.capacity() > allowed) {
            shelves.remove(&class);
        }
        let shelf = shelves.entry(class).or_insert_with(|| {
            let bytes = entry * (asked as u64 + 1);
            if bytes > self.bytes {
                tracing::warn!(
                    class,
                    bytes,
                    bank = self.bytes,
                    "packs this wide take more than the bank has"
                );
            }
            Shelf::new(class, asked)
        });
        shelf.planned = modules;
        shelf
    }

    /// Most packs on the shelf of a class: its part of the memory, and beyond it what other classes leave free.
    fn allowed(&self, shelves: &BTreeMap<usize, Shelf>, class: usize, entry: u64) -> usize {
        let others: u64 =
            shelves.iter().filter(|(own, _)| **own != class).map(|(_, shelf)| shelf.bytes()).sum();
        let bytes = (self.bytes / PART).max(self.bytes.saturating_sub(others));
        // One entry is nobody's.
        let packs = usize::try_from((bytes / entry).saturating_sub(1)).unwrap_or(MOST_PACKS);
        packs.clamp(self.workers + 1, MOST_PACKS)
    }

    /// Takes away other classes' shelves, the longest unused first, while the bank is over its budget. What a batch reads
    /// stays until it has run.
    fn keep_within(&self, shelves: &mut BTreeMap<usize, Shelf>, class: usize) {
        while shelves.values().map(Shelf::bytes).sum::<u64>() > self.bytes {
            let others = shelves.iter().filter(|(own, _)| **own != class);
            let Some((&oldest, _)) = others.min_by_key(|(_, shelf)| shelf.last_used) else { return };
            shelves.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each pack once.
fn distinct<'a>(packs: &[Option<&'a Arc<Pack>>]) -> Vec<&'a Arc<Pack>> {
    let mut packs: Vec<&Arc<Pack>> = packs.iter().flatten().copied().collect();
    packs.sort_by_key(|pack| Arc::as_ptr(pack));
    packs.dedup_by_key(|pack| Arc::as_ptr(pack));
    packs
}

/// The class of a pack: the width of its widest module, rounded up to a power of two. Prompts lengthen every row, so they are
/// never padded: packs with as many run together, in a class of exactly that width.
fn class(pack: &Pack) -> usize {
    let widths = pack.weights.iter().map(|(module, weights)| (weights.width, module.form == Form::Prompts));
    match widths.max() {
        Some((width, true)) => width,
        Some((width, false)) => width.max(NARROWEST).next_power_of_two(),
        None => NARROWEST,
    }
}

/// Which rows may read one shelf: packs of usual widths together, wider ones with others of their class alone, so that a
/// narrow pack is not copied again at the width of a wide one.
pub(super) fn company(pack: Option<&Arc<Pack>>) -> usize {
    let class = pack.map_or(NARROWEST, |pack| class(pack));
    if class <= USUAL { USUAL } else { class }
}
