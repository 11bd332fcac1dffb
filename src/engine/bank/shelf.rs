//! The tensors of one class of widths.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::slots::{Placed, Slots};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::engine::error::Error;
use crate::engine::padding::pad_into;
use crate::pack::Pack;
use crate::runtime::{DeviceMemory, DeviceTensor};

/// Where tensors are made, and of what shapes.
type Place<'a> = (&'a DeviceMemory, &'a BackboneConfig);

/// Every tensor of the modules that were asked for, `[P, ..]`, padded to the class.
pub(super) struct Shelf {
    class: usize,
    slots: Slots<Pack>,
    /// What each entry has besides neutral elements.
    modules: BTreeMap<usize, ModuleSet>,
    tensors: BTreeMap<(Module, Part), Arc<DeviceTensor>>,
    /// The modules that its size was chosen for.
    pub(super) planned: ModuleSet,
    /// The last batch that read it.
    pub(super) last_used: u64,
}

impl Shelf {
    /// An empty shelf for so many packs.
    pub(super) fn new(class: usize, packs: usize) -> Self {
        let (modules, tensors) = (BTreeMap::new(), BTreeMap::new());
        Self { class, slots: Slots::new(packs), modules, tensors, planned: ModuleSet::EMPTY, last_used: 0 }
    }

    /// The entry of a pack, filled; none when every entry is being read.
    pub(super) fn place(&mut self, pack: &Arc<Pack>, place: Place<'_>) -> Result<Option<Placed>, Error> {
        let Some(placed) = self.slots.place(pack) else { return Ok(None) };
        if placed.is_new
            && let Err(error) = self.fill(placed.slot, pack, place)
        {
            self.slots.forget(placed.slot);
            return Err(error);
        }
        Ok(Some(placed))
    }

    /// The tensor of a part of a module for all entries; none where the backbone has no such place.
    pub(super) fn tensor(
        &mut self,
        (module, part): (Module, Part),
        (memory, config): Place<'_>,
    ) -> Result<Option<Arc<DeviceTensor>>, Error> {
        if let Some(tensor) = self.tensors.get(&(module, part)) {
            return Ok(Some(Arc::clone(tensor)));
        }
        let Some(entry) = entry_shape((module, part), self.class, config) else { return Ok(None) };
        let shape = [&[self.slots.capacity() + 1], &entry[..]].concat();
        let tensor = Arc::new(memory.filled(&shape, part.neutral())?);
        self.tensors.insert((module, part), Arc::clone(&tensor));
        Ok(Some(tensor))
    }

    /// Packs here once these are here too.
    pub(super) fn held_with(&self, packs: &[&Arc<Pack>]) -> usize {
        self.slots.held_with(packs)
    }

    /// Most packs.
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.bytes()).sum()
    }

    /// Writes a pack's tensors, and neutral elements where the entry's last pack had modules that this one has not.
    fn fill(&mut self, slot: usize, pack: &Pack, place: Place<'_>) -> Result<(), Error> {
        // Until all is written the entry may hold parts of either.
        let before = self.modules.get(&slot).copied().unwrap_or(ModuleSet::EMPTY);
        self.modules.insert(slot, before.union(pack.modules));
        for module in before.union(pack.modules).iter() {
            for &part in module.form.fed() {
                let Some(tensor) = self.tensor((module, part), place)? else { continue };
                let size = tensor.shape()[1..].iter().product();
                let mut values = vec![part.neutral(); size];
                if let Some(weights) = pack.weights.get(&module) {
                    pad_into(&mut values, weights, part, self.class);
                }
                tensor.write(slot, &values)?;
            }
        }
        self.modules.insert(slot, pack.modules);
        Ok(())
    }
}

/// Elements of one entry of `modules`.
pub(super) fn elements(modules: ModuleSet, class: usize, config: &BackboneConfig) -> usize {
    let parts = modules.iter().flat_map(|module| module.form.fed().iter().map(move |&part| (module, part)));
    let sizes = parts.filter_map(|own| entry_shape(own, class, config));
    sizes.map(|shape| shape.iter().product::<usize>()).sum()
}

/// Shape of one entry. An axis of rows is the entries' own.
fn entry_shape((module, part): (Module, Part), class: usize, config: &BackboneConfig) -> Option<Vec<usize>> {
    let shape = config.part_shape(module, part, class)?;
    Some(if part.has_row_axis() { shape[1..].to_vec() } else { shape })
}
