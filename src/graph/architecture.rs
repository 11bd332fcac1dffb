//! From an architecture to its graph: the one place that tells families apart.

use super::depths::feature;
use super::layers::{Feed, Layers};
use super::names::{FEATURES, HIDDEN, HIDDEN_OUT, PIXELS};
use super::ops::Concat;
use super::parts::Parts;
use super::{Dim, Error, Fact, Graph, Plan, Wire};
use crate::backbone::{Architecture, BackboneConfig};

fn parts(architecture: &Architecture) -> &dyn Parts {
    match architecture {
        Architecture::Vit(vit) => vit,
        Architecture::Swin(swin) => swin,
        Architecture::Cvt(cvt) => cvt,
    }
}

/// Wires the plan's blocks into `g` and returns the last wire with the name it has as an output.
///
/// # Shapes
/// [`FEATURES`] `[B, D]`, or [`HIDDEN_OUT`] `[B, N, D]` before the last block's end. With depths the features are
/// `[B, D + D']`: the pooled one, then those of the depths, ascending.
///
/// # Errors
/// [`Error::Wiring`] when the configuration contradicts itself.
pub(super) fn wire(
    g: &mut Graph,
    config: &BackboneConfig,
    plan: &Plan,
    feed: Feed<'_>,
) -> Result<(&'static str, Wire), Error> {
    let parts = parts(&config.architecture);
    let start = plan.blocks.start;
    let name = if start == 0 { PIXELS } else { HIDDEN };
    let row = config.input_shape(start).into_iter().map(Dim::Fixed);
    let mut x = g.input(name, Fact::f32([Dim::Batch].into_iter().chain(row).collect::<Vec<_>>()))?;
    let mut layers =
        Layers { g, modules: plan.modules, adapter: config.activation(), feed, scope: String::new() };
    if start == 0 {
        x = parts.embed(&mut layers, x)?;
    }
    let mut depths = Vec::new();
    for block in plan.blocks.iter() {
        x = parts.block(&mut layers, block, x)?;
        if plan.modules.depths().any(|depth| depth == block + 1) {
            let pooled = parts.pooled(&mut layers.at(&format!("depths.{}", block + 1)), block, x)?;
            depths.push(feature(&mut layers, block + 1, pooled)?);
        }
    }
    match plan.blocks.end == config.depth() {
        true => {
            let pooled = parts.pool(&mut layers, x)?;
            Ok((FEATURES, join(&mut layers, pooled, depths)?))
        }
        false => Ok((HIDDEN_OUT, x)),
    }
}

/// The pooled feature, and behind it those of depths.
fn join(layers: &mut Layers<'_>, pooled: Wire, depths: Vec<Wire>) -> Result<Wire, Error> {
    if depths.is_empty() {
        return Ok(pooled);
    }
    let all: Vec<Wire> = [pooled].into_iter().chain(depths).collect();
    layers.wire("depths", Concat { axis: 1 }, &all)
}
