//! VPT-deep (Jia et al. 2022): n prompts beside the tokens of every block, thrown away behind it.
//!
//! Tokens see a block's prompts only as keys and values, `LN₁(P) W_k + b_k` and `LN₁(P) W_v + b_v`, which are the same for
//! every image. So those are served: exactly, and without any work for the prompts themselves. On Swin the authors' code
//! averages the last block's prompts into the pooled feature too; here they are not part of it.

use super::factor::{First, factor};
use super::{Adaptation, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site};
use crate::graph::ops::{Add, LayerNorm, MatMul, View};
use crate::graph::{self, Dim, Graph, Label, ParameterName, Wire, trained};

/// Prompts before every block.
#[derive(Debug)]
pub struct VptDeep;

/// First values of prompts: uniform within `±√(6 / (3 P² + D))`, for patches of P pixels a side and a first block of width D
/// (the authors' code).
pub(super) fn first(config: &BackboneConfig) -> First {
    let patch = config.patch_size() as f64;
    First::Uniform((6.0 / (3.0 * patch * patch + config.block_width(0) as f64)).sqrt())
}

/// P, `[n, D]`.
fn prompts(fit: Fit<'_>, module: Module) -> Factor {
    let name = ParameterName::Factor(module, Label::of("p"));
    let shape = vec![fit.width(module), fit.config.block_width(module.site.block)];
    Factor { name, shape, first: first(fit.config) }
}

/// What the block's frozen norm and projection make of its prompts.
///
/// # Shapes
/// `[1, n, D]`.
fn projected(fit: Fit<'_>, g: &mut Graph, module: Module, part: Part) -> Result<Wire, graph::Error> {
    let Factor { name, shape, .. } = prompts(fit, module);
    let (d, own) = (shape[1], factor(g, name, &shape)?);
    let block = format!("blocks.{}", module.site.block);
    let at = format!("{module}.{}.made", part.as_str());
    let scale = g.weight(&format!("{block}.norm1.weight"), &[d])?;
    let bias = g.weight(&format!("{block}.norm1.bias"), &[d])?;
    let epsilon = fit.config.layer_norm_eps();
    let normed = g.wire(format!("{at}.normed"), LayerNorm { epsilon }, &[own, scale, bias])?;
    let layer = if part == Part::Keys { "k_proj" } else { "v_proj" };
    let weight = g.weight(&format!("{block}.attn.{layer}.weight"), &[d, d])?;
    let bias = g.weight(&format!("{block}.attn.{layer}.bias"), &[d])?;
    let product = g.wire(format!("{at}.product"), MatMul, &[normed, weight])?;
    let biased = g.wire(format!("{at}.biased"), Add, &[product, bias])?;
    g.wire(at, View { shape: vec![1, shape[0], d] }, &[biased])
}

impl Adaptation for VptDeep {
    fn name(&self) -> &'static str {
        "vpt-deep"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/vpt-deep.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let at = |block| Module { site: Site::new(block, Place::Attn), form: Form::Prefix };
        config.blocks().iter().map(at).collect()
    }

    fn trained(&self, _: Module) -> Vec<Part> {
        Vec::new()
    }

    fn is_factorised(&self, _: ModuleSet) -> bool {
        true
    }

    fn factors(&self, fit: Fit<'_>) -> Vec<Factor> {
        fit.modules().map(|module| prompts(fit, module)).collect()
    }

    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        match name {
            ParameterName::Module(module, part @ (Part::Keys | Part::Values)) => {
                projected(fit, g, module, part)
            }
            _ => trained(g, name, shape),
        }
    }
}
