//! Exact cost of graphs and modules.

use super::{Dim, Graph};
use crate::backbone::BackboneConfig;
use crate::backbone::{Form, Module, Part};

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

/// FLOPs of one module of width `width` for one row: `2 · N · R · (D_in + D_out)` of an adapter or a bypass; 0 of what
/// works element by element.
pub fn module_flops(config: &BackboneConfig, module: Module, width: usize) -> u64 {
    if !matches!(module.form, Form::Adapter | Form::Bypass { .. }) {
        return 0;
    }
    let elements = |part| config.part_shape(module, part, width).map_or(0, |shape| shape.iter().product());
    let (down, up): (usize, usize) = (elements(Part::Down), elements(Part::Up));
    let tokens = config.place(module.site).map_or(0, |place| place.tokens);
    2 * tokens as u64 * (down + up) as u64
}
