//! From an architecture to its graph: the one place that tells families apart.

use super::layers::{Feed, Layers};
use super::names::{FEATURES, HIDDEN, HIDDEN_OUT, PIXELS};
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
/// [`FEATURES`] `[B, D]`, or [`HIDDEN_OUT`] `[B, N, D]` before the last block's end.
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
    for block in plan.blocks.iter() {
        x = parts.block(&mut layers, block, x)?;
    }
    match plan.blocks.end == config.depth() {
        true => Ok((FEATURES, parts.pool(&mut layers, x)?)),
        false => Ok((HIDDEN_OUT, x)),
    }
}
