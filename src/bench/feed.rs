//! What a bare program is fed, made before the clock starts.

use std::sync::Arc;

use anyhow::Result;

use super::Bench;
use crate::backbone::SiteSet;
use crate::graph::{PIXELS, down_input, up_input};
use crate::pack::{Adapter, Pack};
use crate::runtime::{Input, Output, Program};

/// Named tensors of one run.
pub(super) struct Feed {
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Feed {
    /// Runs a program on them.
    pub(super) fn run(&self, program: &mut Program) -> Result<Vec<Output>> {
        let inputs = self.tensors.iter().map(|(name, shape, data)| Input { name, shape, data });
        Ok(program.run(&inputs.collect::<Vec<_>>())?)
    }
}

impl Bench {
    /// So many rows for a program with adapters at `sites`: all under one pack, or each of several packs' rows in turn.
    /// Packs have adapters at the same sites, and at `sites` at least.
    ///
    /// # Shapes
    /// Pixels `[B, 3, S, S]`; of an adapter `[D, R]` and `[R, D]` under one pack, `[B, D, R]` and `[B, R, D]` under more.
    pub(super) fn feed(&self, packs: &[Arc<Pack>], rows: usize, sites: SiteSet) -> Feed {
        let shape = [vec![rows], self.config().input_shape(0)].concat();
        let mut tensors = vec![(PIXELS.to_owned(), shape, self.pixels(rows))];
        let rank = if packs.len() > 1 { vec![rows] } else { Vec::new() };
        let copies = if packs.len() > 1 { rows } else { 1 };
        for (i, Adapter { site, width, .. }) in packs[0].adapters.iter().enumerate() {
            if !sites.contains(*site) {
                continue;
            }
            let (d, r) = (self.config().block_width(site.block), *width);
            let of = |row: usize| &packs[row % packs.len()].adapters[i];
            let down = (0..copies).flat_map(|row| of(row).down.iter().copied()).collect();
            let up = (0..copies).flat_map(|row| of(row).up.iter().copied()).collect();
            tensors.push((down_input(*site), [rank.clone(), vec![d, r]].concat(), down));
            tensors.push((up_input(*site), [rank.clone(), vec![r, d]].concat(), up));
        }
        Feed { tensors }
    }
}
