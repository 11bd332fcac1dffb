//! Compacter (Karimi Mahabadi et al. 2021): PHM-Adapter with blocks of rank 1, `B_k = s_k t_kᵀ`, and one rule for all.

use super::factor::{First, factor, once};
use super::kronecker::{self, GAIN, Layer};
use super::{Adaptation, Error, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::graph::ops::{Mul, View};
use crate::graph::{self, Dim, Graph, Label, ParameterName, Wire, trained};

/// First deviation of the rule that all layers share (the authors' code).
const SHARED_RULE: First = First::Normal(1e-4);

/// Adapters with biases, each of the two matrices a sum of n Kronecker products with outer products.
#[derive(Debug)]
pub struct Compacter;

/// R, `[n, n, n]`: of all layers, or of each.
fn rule(fit: Fit<'_>, layer: Layer) -> Factor {
    const NAME: ParameterName = ParameterName::Shared(Label::of("r"));
    match fit.settings.flag("shared") {
        true => Factor { name: NAME, shape: vec![layer.n; 3], first: SHARED_RULE },
        false => layer.rule(),
    }
}

/// s, `[n, in / n]`, and t, `[n, out / n]`.
fn vectors(layer: Layer) -> [Factor; 2] {
    const LEFT: [Label; 2] = [Label::of("down_s"), Label::of("up_s")];
    const RIGHT: [Label; 2] = [Label::of("down_t"), Label::of("up_t")];
    let vector = |labels, size: usize| Factor {
        name: layer.name(labels),
        shape: vec![layer.n, size],
        first: First::xavier(GAIN, size, 1),
    };
    [vector(LEFT, layer.block[0]), vector(RIGHT, layer.block[1])]
}

/// `s_k t_kᵀ` for every k.
///
/// # Shapes
/// `[n, p · q]`.
fn blocks(g: &mut Graph, at: &str, layer: Layer) -> Result<Wire, graph::Error> {
    let (n, [p, q]) = (layer.n, layer.block);
    let [s, t] = vectors(layer);
    let (s, t) = (factor(g, s.name, &s.shape)?, factor(g, t.name, &t.shape)?);
    let s = g.wire(format!("{at}.s"), View { shape: vec![n, p, 1] }, &[s])?;
    let t = g.wire(format!("{at}.t"), View { shape: vec![n, 1, q] }, &[t])?;
    let outer = g.wire(format!("{at}.outer"), Mul, &[s, t])?;
    g.wire(format!("{at}.blocks"), View { shape: vec![n, p * q] }, &[outer])
}

impl Adaptation for Compacter {
    fn name(&self) -> &'static str {
        "compacter"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/compacter.json")
    }

    fn modules(&self, config: &BackboneConfig, settings: &Settings) -> ModuleSet {
        kronecker::modules(config, settings)
    }

    fn trained(&self, _: Module) -> Vec<Part> {
        vec![Part::DownBias, Part::UpBias]
    }

    fn is_factorised(&self, _: ModuleSet) -> bool {
        true
    }

    fn factors(&self, fit: Fit<'_>) -> Vec<Factor> {
        let own = |layer| [vec![rule(fit, layer)], vectors(layer).into()].concat();
        once(Layer::all(fit).flat_map(own))
    }

    fn check(&self, fit: Fit<'_>) -> Result<(), Error> {
        kronecker::check(self.name(), fit)
    }

    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        let ParameterName::Module(module, part) = name else { return trained(g, name, shape) };
        let Some(layer) = Layer::of(fit, module, part) else { return trained(g, name, shape) };
        layer.expand(g, &rule(fit, layer), |g, at| blocks(g, at, layer))
    }
}
