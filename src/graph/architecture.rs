//! From an architecture to its graph: the one place that tells families apart.

use super::layers::Layers;
use super::{Dim, Feed};
use super::{Error, Fact, Graph, Plan, Wire};
use crate::backbone::{Architecture, BackboneConfig, Site};

/// Input of a program that begins at the first block, `[B, 3, S, S]`.
pub const PIXELS: &str = "pixels";
/// Input of a program that begins later, `[B, N, D]` as the block before left it.
pub const HIDDEN: &str = "hidden";
/// Output of a program that ends before the last block, `[B, N, D]`.
pub const HIDDEN_OUT: &str = "hidden_out";
/// Output of a program that ends at the last block, `[B, D]`.
pub const FEATURES: &str = "features";

/// Name of the input that takes a site's down-projection, `[D, R]` or `[B, D, R]`.
pub fn down_input(site: Site) -> String {
    format!("{site}.adapter.down")
}

/// Name of the input that takes a site's up-projection, `[R, D]` or `[B, R, D]`.
pub fn up_input(site: Site) -> String {
    format!("{site}.adapter.up")
}

/// The three parts of a family's graph. A plan may be cut between any two blocks.
pub(super) trait Parts {
    /// Wires what lies before the first block, from [`PIXELS`] on.
    ///
    /// # Shapes
    /// `[B, 3, S, S]` to `[B, N, D]`.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error>;

    /// Wires one block with its adapters.
    ///
    /// # Shapes
    /// `[B, N, D]` as the block before left it to `[B, N, D]` of this block; of the last, only the tokens that the
    /// pooling reads.
    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error>;

    /// Wires what makes one feature of the tokens that the last block left.
    ///
    /// # Shapes
    /// `[B, N, D]` to `[B, D]`.
    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error>;
}

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
    feed: Feed,
) -> Result<(&'static str, Wire), Error> {
    let parts = parts(&config.architecture);
    let start = plan.blocks.start;
    let name = if start == 0 { PIXELS } else { HIDDEN };
    let row = config.input_shape(start).into_iter().map(Dim::Fixed);
    let mut x = g.input(name, Fact::f32([Dim::Batch].into_iter().chain(row).collect::<Vec<_>>()))?;
    let mut layers = Layers { g, sites: plan.sites, adapter: config.activation(), feed };
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
