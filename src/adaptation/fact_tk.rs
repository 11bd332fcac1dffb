//! FacT-TK (Jie and Deng 2023): the core of each linear layer is a mixture, `Σ_m[i, j] = Σ_k C[i, j, k] P[k, m]`.

use super::fact::{self, CHUNKS, Slot};
use super::factor::{First, factor};
use super::{Adaptation, Error, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part, Place};
use crate::graph::ops::{MatMul, Slice, Transpose, View};
use crate::graph::{self, Dim, Graph, Label, ParameterName, Wire, trained};

/// One U and one V for the whole network, and a core tensor that all linear layers share.
#[derive(Debug)]
pub struct FactTk;

/// Slots of a block: one each of q, k, v and the projection, four each of fc1 and fc2.
const SLOTS: usize = 12;

const ENDS: [Label; 2] = [Label::of("u"), Label::of("v")];

/// The sizes of everything: D, r and the blocks that have modules, the first of them numbered.
struct Sizes {
    d: usize,
    rank: usize,
    first: usize,
    blocks: usize,
}

impl Sizes {
    fn of(fit: Fit<'_>) -> Self {
        let first = fit.modules().map(|module| module.site.block).min().unwrap_or(0);
        let last = fit.modules().map(|module| module.site.block).max().unwrap_or(0);
        let rank = fit.widths.values().next().copied().unwrap_or(0);
        Self { d: fit.config.block_width(first), rank, first, blocks: last + 1 - first }
    }

    /// C, `[r, r, r]`: PyTorch takes all axes but the first for what is summed.
    fn core(&self) -> Factor {
        let r = self.rank;
        let first = First::xavier(1.0, r * r, r * r);
        Factor { name: ParameterName::Shared(Label::of("c")), shape: vec![r, r, r], first }
    }

    /// P, `[r, slots]`.
    fn mixture(&self) -> Factor {
        let (r, slots) = (self.rank, SLOTS * self.blocks);
        let first = First::xavier(1.0, r, slots);
        Factor { name: ParameterName::Shared(Label::of("p")), shape: vec![r, slots], first }
    }

    /// The columns of P that a module's core is mixed by.
    fn slots(&self, module: Module) -> Slice {
        let (start, count) = match module.site.place {
            Place::Q => (0, 1),
            Place::K => (1, 1),
            Place::V => (2, 1),
            Place::Fc1 => (4, CHUNKS),
            Place::Fc2 => (4 + CHUNKS, CHUNKS),
            _ => (3, 1),
        };
        let start = SLOTS * (module.site.block - self.first) + start;
        Slice { axis: 1, start, end: start + count }
    }

    /// Σ of a module: `[r, r]`; of fc1 `[r, 4 r]`, where column 4 j + q is column j of slot q; of fc2 the same, turned.
    fn sigma(&self, g: &mut Graph, at: &str, module: Module) -> Result<Wire, graph::Error> {
        let (r, core, mixture) = (self.rank, self.core(), self.mixture());
        let (core, mixture) = (factor(g, core.name, &core.shape)?, factor(g, mixture.name, &mixture.shape)?);
        let core = g.wire(format!("{at}.core"), View { shape: vec![r * r, r] }, &[core])?;
        let slots = self.slots(module);
        let count = slots.end - slots.start;
        let slots = g.wire(format!("{at}.slots"), slots, &[mixture])?;
        let mixed = g.wire(format!("{at}.mixed"), MatMul, &[core, slots])?; // [i j, q]
        let sigma = g.wire(format!("{at}.sigma"), View { shape: vec![r, r * count] }, &[mixed])?;
        match module.site.place {
            Place::Fc2 => g.wire(format!("{at}.sigma.turned"), Transpose::last_two(2), &[sigma]),
            _ => Ok(sigma),
        }
    }
}

impl Adaptation for FactTk {
    fn name(&self) -> &'static str {
        "fact-tk"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/fact-tk.json")
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
        let sizes = Sizes::of(fit);
        let [u, v] = fact::ends(ENDS, sizes.d, sizes.rank);
        vec![u, v, sizes.core(), sizes.mixture()]
    }

    /// One U and one V fit blocks of one width only.
    fn check(&self, fit: Fit<'_>) -> Result<(), Error> {
        fact::check(self.name(), fit)?;
        let d = Sizes::of(fit).d;
        match fit.modules().find(|module| fit.config.block_width(module.site.block) != d) {
            Some(module) => {
                let own = fit.config.block_width(module.site.block);
                let reason =
                    format!("its block is {own} wide, others {d}: fact-tt has factors for each width");
                Err(Error::Misfit { method: self.name(), module, reason })
            }
            None => Ok(()),
        }
    }

    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        let ParameterName::Module(module, part) = name else { return trained(g, name, shape) };
        let sizes = Sizes::of(fit);
        let ends = fact::ends(ENDS, sizes.d, sizes.rank);
        let slot = Slot { module, part, ends, scale: fit.settings.number("scale") };
        slot.expand(g, |g, at| sizes.sigma(g, at, module))
    }
}
