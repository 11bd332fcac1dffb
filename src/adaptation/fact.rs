//! FacT (Jie and Deng 2023): changes of every linear layer, factorised over the whole network: `ΔW_m = s · U Σ_m V`.

use super::factor::{First, factor};
use super::{Error, Factor, Fit};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};
use crate::graph::ops::{MatMul, Mul, Transpose, View};
use crate::graph::{self, Constant, Graph, Label, ParameterName, Wire};

/// Widths of D that fc1 gives and fc2 reads: so many slots each has.
pub(super) const CHUNKS: usize = 4;

/// The linear layers of every block, in the order of slots.
const LAYERS: [Place; 6] = [Place::Q, Place::K, Place::V, Place::Proj, Place::Fc1, Place::Fc2];

/// A bypass without activation beside every linear layer.
pub(super) fn modules(config: &BackboneConfig) -> ModuleSet {
    let form = Form::Bypass { source: Source::Input, activation: None };
    let at = |block| LAYERS.map(|place| Module { site: Site::new(block, place), form });
    config.blocks().iter().flat_map(at).collect()
}

/// Whether every layer is D or 4 D wide, and every module has one width.
pub(super) fn check(method: &'static str, fit: Fit<'_>) -> Result<(), Error> {
    for module in fit.modules() {
        let d = fit.config.block_width(module.site.block);
        let expected = match module.site.place {
            Place::Fc1 => [d, CHUNKS * d],
            Place::Fc2 => [CHUNKS * d, d],
            _ => [d, d],
        };
        let found = fit.place(module).map_or([0, 0], |place| [place.input, place.width()]);
        if found != expected {
            let reason = format!(
                "it reads {} and gives {}, expected {} and {}",
                found[0], found[1], expected[0], expected[1]
            );
            return Err(Error::Misfit { method, module, reason });
        }
        fit.same_rank(method, module)?;
    }
    Ok(())
}

/// U `[D, r]` and V `[r, D]`. V is zero at first: the network starts at the backbone.
pub(super) fn ends([u, v]: [Label; 2], d: usize, rank: usize) -> [Factor; 2] {
    let u = Factor { name: ParameterName::Shared(u), shape: vec![d, rank], first: First::linear(d) };
    let v = Factor { name: ParameterName::Shared(v), shape: vec![rank, d], first: First::Constant(0.0) };
    [u, v]
}

/// A module with the ends that it is between.
pub(super) struct Slot {
    pub(super) module: Module,
    pub(super) part: Part,
    pub(super) ends: [Factor; 2],
    /// s.
    pub(super) scale: f64,
}

impl Slot {
    fn d(&self) -> usize {
        self.ends[0].shape[0]
    }

    fn rank(&self) -> usize {
        self.ends[0].shape[1]
    }

    fn at(&self) -> String {
        format!("{}.{}.made", self.module, self.part.as_str())
    }

    /// The served matrix. `core` wires Σ under a name: `[r, r]`, of fc1 `[r, 4 r]`, of fc2 `[4 r, r]`.
    ///
    /// `down = s U Σ`, `up = V`; of fc1 `down = s U` and `up` the four products with V side by side; of fc2 `down` the
    /// four products with `s U` below one another.
    pub(super) fn expand(
        &self,
        g: &mut Graph,
        core: impl FnOnce(&mut Graph, &str) -> Result<Wire, graph::Error>,
    ) -> Result<Wire, graph::Error> {
        let [u, v] = &self.ends;
        match (self.part, self.module.site.place) {
            (Part::Up, Place::Fc1) => {
                let (core, v) = (core(g, &self.at())?, factor(g, v.name, &v.shape)?);
                self.beside(g, core, v)
            }
            (Part::Up, _) => {
                let whole = factor(g, v.name, &v.shape)?;
                g.wire(self.at(), View { shape: v.shape.clone() }, &[whole])
            }
            (_, place) => {
                let u = factor(g, u.name, &u.shape)?;
                let scale = g.shared_constant("fact.scale", || Constant::scalar(self.scale as f32))?;
                let u = g.wire(format!("{}.scaled", self.at()), Mul, &[u, scale])?;
                match place {
                    Place::Fc1 => Ok(u),
                    Place::Fc2 => {
                        let core = core(g, &self.at())?;
                        self.below(g, core, u)
                    }
                    _ => {
                        let core = core(g, &self.at())?;
                        g.wire(self.at(), MatMul, &[u, core])
                    }
                }
            }
        }
    }

    /// Chunk by chunk `Σ_q V`, side by side: Σ `[r, 4 r]` to `[r, 4 D]`.
    fn beside(&self, g: &mut Graph, core: Wire, v: Wire) -> Result<Wire, graph::Error> {
        let (at, r, d) = (self.at(), self.rank(), self.d());
        let rows = g.wire(format!("{at}.rows"), View { shape: vec![r * CHUNKS, r] }, &[core])?;
        let product = g.wire(format!("{at}.product"), MatMul, &[rows, v])?; // [r q, D]
        g.wire(at, View { shape: vec![r, CHUNKS * d] }, &[product])
    }

    /// Chunk by chunk `U Σ_q`, below one another: Σ `[4 r, r]` to `[4 D, r]`.
    fn below(&self, g: &mut Graph, core: Wire, u: Wire) -> Result<Wire, graph::Error> {
        let (at, r, d) = (self.at(), self.rank(), self.d());
        let chunks = g.wire(format!("{at}.chunks"), View { shape: vec![CHUNKS, r, r] }, &[core])?;
        let chunks = g.wire(format!("{at}.columns"), Transpose::last_two(3), &[chunks])?; // [q, j, i]
        let rows = g.wire(format!("{at}.rows"), View { shape: vec![CHUNKS * r, r] }, &[chunks])?;
        let u = g.wire(format!("{at}.turned"), Transpose::last_two(2), &[u])?; // [i, D]
        let product = g.wire(format!("{at}.product"), MatMul, &[rows, u])?; // [q j, D]
        let product = g.wire(format!("{at}.parts"), View { shape: vec![CHUNKS, r, d] }, &[product])?;
        let product = g.wire(format!("{at}.ordered"), Transpose::last_two(3), &[product])?; // [q, D, j]
        g.wire(at, View { shape: vec![CHUNKS * d, r] }, &[product])
    }
}
