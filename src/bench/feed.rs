//! What a bare program is fed, made before the clock starts.

use std::sync::Arc;

use anyhow::Result;

use super::Bench;
use crate::backbone::ModuleSet;
use crate::graph::{PIXELS, ParameterName};
use crate::pack::Pack;
use crate::runtime::{Device, DeviceMemory, DeviceTensor, Held, HeldInput, Input, Output, Program};

/// Named tensors of one run.
pub(super) struct Feed {
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    placed: Vec<(String, DeviceTensor)>,
}

impl Feed {
    /// Runs a program on them.
    pub(super) fn run(&self, program: &mut Program) -> Result<Vec<Output>> {
        let inputs = self.tensors.iter().map(|(name, shape, data)| Input { name, shape, data });
        let held = self.placed.iter().map(|(name, own)| HeldInput { name, held: Held::Tensor(own) });
        Ok(program.run_beside(&inputs.collect::<Vec<_>>(), &held.collect::<Vec<_>>())?)
    }
}

impl Bench {
    /// So many rows for a program with `modules`: all under one pack, or each of several packs' rows in turn.
    /// Packs have the same modules, `modules` at least.
    ///
    /// # Shapes
    /// Pixels `[B, 3, S, S]`; of an adapter `[D, R]` and `[R, D]` under one pack, `[B, D, R]` and `[B, R, D]` under more.
    pub(super) fn feed(&self, packs: &[Arc<Pack>], rows: usize, modules: ModuleSet) -> Feed {
        let shape = [vec![rows], self.config().input_shape(0)].concat();
        let mut tensors = vec![(PIXELS.to_owned(), shape, self.pixels(rows))];
        let rank = if packs.len() > 1 { vec![rows] } else { Vec::new() };
        let copies = if packs.len() > 1 { rows } else { 1 };
        for (&module, weights) in packs[0].weights.iter().filter(|(module, _)| modules.contains(**module)) {
            for &part in module.form.parts() {
                let of = |row: usize| packs[row % packs.len()].weights.get(&module);
                let values = (0..copies).filter_map(of).flat_map(|own| own.part(part).iter().copied());
                let own = self.config().part_shape(module, part, weights.width).unwrap_or_default();
                let name = ParameterName::Module(module, part).to_string();
                tensors.push((name, [rank.clone(), own].concat(), values.collect()));
            }
        }
        Feed { tensors, placed: Vec::new() }
    }

    /// As [`Bench::feed`], all in the device's memory where that is not the host's.
    pub(super) fn on_device(&self, packs: &[Arc<Pack>], rows: usize, modules: ModuleSet) -> Result<Feed> {
        self.placed(packs, (rows, modules), |_| true)
    }

    /// As [`Bench::feed`], packs' tensors in the device's memory and pixels in the host's, as an engine has them.
    pub(super) fn packs_on_device(
        &self,
        packs: &[Arc<Pack>],
        rows: usize,
        modules: ModuleSet,
    ) -> Result<Feed> {
        self.placed(packs, (rows, modules), |name| name != PIXELS)
    }

    fn placed(
        &self,
        packs: &[Arc<Pack>],
        (rows, modules): (usize, ModuleSet),
        goes: impl Fn(&str) -> bool,
    ) -> Result<Feed> {
        let mut feed = self.feed(packs, rows, modules);
        if self.resident.device() == Device::Cpu {
            return Ok(feed);
        }
        let memory = DeviceMemory::of(self.resident.runtime())?;
        for (name, shape, data) in feed.tensors.extract_if(.., |(name, ..)| goes(name)) {
            feed.placed.push((name, memory.of_values(&shape, &data)?));
        }
        Ok(feed)
    }
}
