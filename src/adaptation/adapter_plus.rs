//! Adapter+ (Steitz and Roth 2024): `x + s ⊙ (U · GELU(A · x + a) + u)` on each block's output.

use super::{Adaptation, Drawn, Fit, Settings};
use crate::backbone::{Activation, BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};
use crate::graph::ops::Mul;
use crate::graph::{Dim, Error, Graph, ParameterName, Wire, trained};

/// Deviation of both matrices at first (the authors' code: truncated normal, σ = 0.01, cut at ±2σ).
const DEVIATION: f64 = 0.01;

/// One adapter a block, behind both residual additions, with a learned scale for each channel.
#[derive(Debug)]
pub struct AdapterPlus;

impl Adaptation for AdapterPlus {
    fn name(&self) -> &'static str {
        "adapter-plus"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/adapter-plus.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let form = Form::Bypass { source: Source::Output, activation: Some(Activation::Gelu) };
        let at = |block| Module { site: Site::new(block, Place::Out), form };
        config.blocks().iter().map(at).collect()
    }

    fn trained(&self, _: Module) -> Vec<Part> {
        vec![Part::Down, Part::DownBias, Part::Up, Part::UpBias, Part::Scale]
    }

    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        match part {
            Part::Down | Part::Up => draw.truncated_normal(DEVIATION),
            Part::Scale => draw.constant(1.0),
            _ => draw.constant(0.0),
        }
    }

    /// The scale is folded into what leaves the adapter: `U ⊙ s` and `u ⊙ s`.
    fn served(&self, _: Fit<'_>, g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, Error> {
        let ParameterName::Module(module, part @ (Part::Up | Part::UpBias)) = name else {
            return trained(g, name, shape);
        };
        let width = shape.last().copied().unwrap_or(Dim::Fixed(1));
        let own = trained(g, name, shape)?;
        let scale = ParameterName::Module(module, Part::Scale);
        // The up-projection comes first, and both read one scale.
        let scale = match g.find_input(&scale.to_string()) {
            Some(scale) => scale,
            None => trained(g, scale, vec![Dim::Fixed(1), width])?,
        };
        g.wire(format!("{module}.{}.scaled", part.as_str()), Mul, &[own, scale])
    }
}
