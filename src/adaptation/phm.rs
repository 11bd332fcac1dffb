//! PHM-Adapter (Karimi Mahabadi et al. 2021): adapters of parametrised hypercomplex layers, `W = Σ_k R_k ⊗ B_k`.

use super::factor::{First, factor};
use super::kronecker::{self, GAIN, Layer};
use super::{Adaptation, Error, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::graph::ops::View;
use crate::graph::{self, Dim, Graph, Label, ParameterName, Wire, trained};

/// Adapters with biases, each of the two matrices a sum of n Kronecker products.
#[derive(Debug)]
pub struct Phm;

/// B, `[n, in / n, out / n]`.
fn blocks(layer: Layer) -> Factor {
    const LABELS: [Label; 2] = [Label::of("down_b"), Label::of("up_b")];
    let [p, q] = layer.block;
    Factor { name: layer.name(LABELS), shape: vec![layer.n, p, q], first: First::xavier(GAIN, p, q) }
}

impl Adaptation for Phm {
    fn name(&self) -> &'static str {
        "phm"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/phm.json")
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
        Layer::all(fit).flat_map(|layer| [layer.rule(), blocks(layer)]).collect()
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
        layer.expand(g, &layer.rule(), |g, at| {
            let Factor { name, shape, .. } = blocks(layer);
            let own = factor(g, name, &shape)?;
            g.wire(format!("{at}.blocks"), View { shape: vec![shape[0], shape[1] * shape[2]] }, &[own])
        })
    }
}
