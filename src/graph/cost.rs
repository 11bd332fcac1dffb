//! Exact cost of graphs and adapters.

use super::{Dim, Graph};
use crate::backbone::BackboneConfig;
use crate::backbone::Site;

impl Graph {
    /// FLOPs of one run, a multiply-add counting as 2, with each open dimension given by `bind`.
    pub fn flops(&self, bind: impl Fn(Dim) -> u64) -> u64 {
        let size = |dim: &Dim| match *dim {
            Dim::Fixed(n) => n as u64,
            Dim::Rows(n) => n as u64 * bind(Dim::Batch),
            open => bind(open),
        };
        let cost = |dims: Vec<Dim>| dims.iter().map(size).product::<u64>();
        self.nodes()
            .iter()
            .filter_map(|node| {
                let inputs: Vec<_> = node.inputs.iter().map(|&w| self.fact(w)).collect();
                node.operator.multiply_adds(&inputs, self.fact(node.outputs[0]))
            })
            .map(|dims| 2 * cost(dims))
            .sum()
    }
}

/// FLOPs of one adapter of width `width` at `site` for one row: `2 · 2 · N · D · R`.
pub fn adapter_flops(config: &BackboneConfig, site: Site, width: usize) -> u64 {
    4 * config.block_tokens(site.block) as u64 * config.block_width(site.block) as u64 * width as u64
}
