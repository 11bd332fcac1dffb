//! FacT-TT (Jie and Deng 2023): the core Σ of each linear layer is free.

use super::fact::{self, CHUNKS, Slot};
use super::factor::{First, factor, once};
use super::{Adaptation, Error, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part, Place};
use crate::graph::{self, Dim, Graph, Label, ParameterName, Wire, trained};

/// One U and one V for all blocks of a stage, a small core for each linear layer.
#[derive(Debug)]
pub struct FactTt;

/// U and V of a stage; the labels have no number where there is one stage.
fn labels(fit: Fit<'_>, block: usize) -> [Label; 2] {
    const ENDS: [Label; 2] = [Label::of("u"), Label::of("v")];
    let width = |block| fit.config.block_width(block);
    let stage = |block| (1..=block).filter(|&later| width(later) != width(later - 1)).count();
    if stage(fit.config.depth().saturating_sub(1)) == 0 {
        return ENDS;
    }
    let numbered = |end: &str| Label::parse(&format!("stages_{}_{end}", stage(block)));
    [numbered("u").unwrap_or(ENDS[0]), numbered("v").unwrap_or(ENDS[1])]
}

/// The factors at both ends of a module.
fn ends(fit: Fit<'_>, module: Module) -> [Factor; 2] {
    let block = module.site.block;
    fact::ends(labels(fit, block), fit.config.block_width(block), fit.width(module))
}

/// Σ: `[r, r]`, of fc1 `[r, 4 r]`, of fc2 `[4 r, r]`; at first as PyTorch's linear layer.
fn core(fit: Fit<'_>, module: Module) -> Factor {
    let r = fit.width(module);
    let [rows, columns] = match module.site.place {
        Place::Fc1 => [r, CHUNKS * r],
        Place::Fc2 => [CHUNKS * r, r],
        _ => [r, r],
    };
    let name = ParameterName::Factor(module, Label::of("sigma"));
    Factor { name, shape: vec![rows, columns], first: First::linear(rows) }
}

impl Adaptation for FactTt {
    fn name(&self) -> &'static str {
        "fact-tt"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/fact-tt.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        fact::modules(config)
    }

    fn trained(&self, _: Module) -> Vec<Part> {
        Vec::new()
    }

    fn is_factorised(&self, _: ModuleSet) -> bool {
        true
    }

    fn factors(&self, fit: Fit<'_>) -> Vec<Factor> {
        let own = |module| {
            let [u, v] = ends(fit, module);
            [u, v, core(fit, module)]
        };
        once(fit.modules().flat_map(own))
    }

    fn check(&self, fit: Fit<'_>) -> Result<(), Error> {
        fact::check(self.name(), fit)
    }

    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        let ParameterName::Module(module, part) = name else { return trained(g, name, shape) };
        let slot = Slot { module, part, ends: ends(fit, module), scale: fit.settings.number("scale") };
        slot.expand(g, |g, _| {
            let Factor { name, shape, .. } = core(fit, module);
            factor(g, name, &shape)
        })
    }
}
