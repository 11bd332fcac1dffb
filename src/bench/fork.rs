//! What sharing an image's blocks saves.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::ask::ask;
use super::{Bench, median, seconds};
use crate::backbone::{BlockRange, ModuleSet};
use crate::engine::{Engine, ImageKey};
use crate::graph::{Plan, plan_flops};
use crate::pack::Pack;

/// Seconds of rows that share an image and of rows that do not, medians of interleaved rounds.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// As many images as tasks.
    pub apart: f64,
    /// One image under all tasks.
    pub together: f64,
    /// `K W / (P + K (W − P))` of the FLOPs: below the cut P, all W, under K tasks.
    pub ideal: f64,
}

/// Seconds of a lone row, medians of interleaved rounds.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Of an image that may not be kept.
    pub unknown: f64,
    /// Of one that another task has seen.
    pub known: f64,
    /// Share of the FLOPs above the cut.
    pub ideal: f64,
}

impl Bench {
    /// Times `tasks` rows whose packs have adapters from block `cut` on.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn shared(&self, tasks: usize, cut: usize) -> Result<Shared> {
        let (engine, packs) = self.late(tasks, cut)?;
        let images = self.images(tasks);
        let one: Vec<Arc<[f32]>> = vec![Arc::clone(&images[0]); tasks];
        let (mut apart, mut together) = (Vec::new(), Vec::new());
        for round in 0..=self.options.rounds {
            let times = [&images, &one].map(|pixels| seconds(|| ask(&engine, (pixels, None), &packs)));
            let [first, second] = times;
            if round > 0 {
                apart.push(first?);
                together.push(second?);
            }
        }
        let (below, whole) = self.flops(cut)?;
        let k = tasks as f64;
        let ideal = k * whole / (below + k * (whole - below));
        Ok(Shared { apart: median(apart), together: median(together), ideal })
    }

    /// Times a lone row of an image that is known up to block `cut`, and of one that is not.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn known(&self, cut: usize) -> Result<Known> {
        let (engine, packs) = self.late(1, cut)?;
        let pixels: Vec<Arc<[f32]>> = vec![self.pixels(1).into()];
        let key = Some(ImageKey::new(b"bench", "bench"));
        let (mut unknown, mut known) = (Vec::new(), Vec::new());
        for round in 0..=self.options.rounds {
            let times = [None, key].map(|key| seconds(|| ask(&engine, (&pixels, key), &packs)));
            let [first, second] = times;
            if round > 0 {
                unknown.push(first?);
                known.push(second?);
            }
        }
        let (below, whole) = self.flops(cut)?;
        Ok(Known { unknown: median(unknown), known: median(known), ideal: (whole - below) / whole })
    }

    /// FLOPs below the cut and of all blocks, without adapters.
    fn flops(&self, cut: usize) -> Result<(f64, f64)> {
        let of = |plan: &Plan| plan_flops(self.config(), plan, |_| 0);
        let whole = of(&Plan::whole(self.config(), ModuleSet::EMPTY))?;
        Ok((of(&Plan::below(cut))? as f64, whole as f64))
    }

    /// An engine with the cut's programs, and packs that begin there.
    fn late(&self, tasks: usize, cut: usize) -> Result<(Engine, Vec<Arc<Pack>>)> {
        let engine = self.engine(tasks, (4, 64 << 20))?;
        let sites = ModuleSet::adapters(BlockRange { start: cut, end: self.config().depth() });
        engine.prepare(sites).blocking_recv().context("the engine stopped")??;
        // Orders are filled one after another: when this one is, the cut's programs are there.
        engine.prepare(ModuleSet::EMPTY).blocking_recv().context("the engine stopped")??;
        let packs = (0..tasks).map(|i| self.pack_at(i as u64, sites)).collect::<Result<_>>()?;
        Ok((engine, packs))
    }
}
