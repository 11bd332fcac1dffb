//! Exact cost of graphs and modules.

use super::{Dim, Error, Graph, Plan, plan_flops};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part};

impl Graph {
    /// FLOPs of one run, a multiply-add counting as 2, with each open dimension given by `bind`.
    pub fn flops(&self, bind: impl Fn(Dim) -> u64) -> u64 {
        let cost = |dims: Vec<Dim>| dims.iter().map(|dim| dim.size(&bind)).product::<u64>();
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

/// FLOPs that one module of width `width` adds for one row: `2 · N · R · (D_in + D_out)` of an adapter or a bypass,
/// `4 · N · R · D` of a prefix, those of `R` more tokens in all blocks of prompts; 0 of what works element by element.
///
/// # Errors
/// When the backbone has no prompts.
pub fn module_flops(config: &BackboneConfig, module: Module, width: usize) -> Result<u64, Error> {
    let elements = |part| config.part_shape(module, part, width).map_or(0, |shape| shape.iter().product());
    let all: usize = match module.form {
        Form::Adapter | Form::Bypass { .. } => elements(Part::Down) + elements(Part::Up),
        Form::Prefix => elements(Part::Keys) + elements(Part::Values),
        Form::Prompts => return prompts_flops(config, module, width),
        Form::Affine | Form::Shift => 0,
    };
    let tokens = config.place(module.site).map_or(0, |place| place.tokens);
    Ok(2 * tokens as u64 * all as u64)
}

fn prompts_flops(config: &BackboneConfig, module: Module, width: usize) -> Result<u64, Error> {
    let with = plan_flops(config, &Plan::whole(config, ModuleSet::from_iter([module])), |_| width)?;
    Ok(with - plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?)
}
