//! Pixels that a graph's first operators make of images' samples.
//!
//! ```text
//! pixels = [(samples / 255 − mean) / std; prepared]
//! ```
//! A sample is a byte, so that a quarter of the bytes is stored, copied and sent to a device. The quotients and the
//! difference are those of [`Preprocessing::apply`](crate::image::Preprocessing::apply), in its order: the pixels are the
//! same bit for bit. Means and deviations are fed, since packs may differ in them. Rows that come as pixels follow.

use std::sync::Arc;

use super::names::PIXELS;
use super::ops::{Cast, Concat, Div, Sub, Transpose};
use super::{Constant, DType, Dim, Error, Fact, Graph, Node, Wire};

/// Input of a graph that reads samples: red, green and blue of each pixel, `U8[Bs, S, S, 3]`.
pub const SAMPLES: &str = "samples";
/// Input of a graph that reads samples: what is subtracted from each channel, `[Bs, 3, 1, 1]`.
pub const MEAN: &str = "samples.mean";
/// Input of a graph that reads samples: what each channel is divided by, `[Bs, 3, 1, 1]`.
pub const STD: &str = "samples.std";
/// Input of a graph that reads samples: pixels of the rows after those, `[Bp, 3, S, S]`.
pub const PREPARED: &str = "prepared";

/// Channels of an image.
const CHANNELS: Dim = Dim::Fixed(3);
/// The largest sample.
const WHITE: f32 = 255.0;

/// The same graph, its pixels made of samples and of pixels that are there already. A graph that is fed no pixels stays as
/// it is.
///
/// # Shapes
/// [`PIXELS`] `[B, 3, S, S]` with `B = Bs + Bp`; either may be 0.
///
/// # Errors
/// [`Error::DuplicateName`] when something else has one of the inputs' names.
pub fn sampled(graph: &Graph) -> Result<Graph, Error> {
    supplied(graph, made)
}

/// As [`sampled`], of samples alone: no pixels are there already.
///
/// # Errors
/// As [`sampled`].
pub fn sampled_alone(graph: &Graph) -> Result<Graph, Error> {
    supplied(graph, |g, pixels| {
        let (operator, inputs) = (Arc::new(Div), centred(g, pixels, Dim::Batch)?.to_vec());
        Ok(Node { name: PIXELS.into(), operator, inputs, outputs: vec![pixels] })
    })
}

/// The same graph, its pixels made by the node that `make` gives.
fn supplied(graph: &Graph, make: impl Fn(&mut Graph, Wire) -> Result<Node, Error>) -> Result<Graph, Error> {
    graph.clone().supplied(|g, wire| match g.wire_name(wire) == PIXELS {
        true => make(g, wire).map(Some),
        false => Ok(None),
    })
}

/// Wires all but the last node that makes `pixels`, and returns that one.
fn made(g: &mut Graph, pixels: Wire) -> Result<Node, Error> {
    let side = g.fact(pixels).shape[2];
    let centred = centred(g, pixels, Dim::Sampled)?;
    let normalised = g.wire("samples.normalised", Div, &centred)?;
    let prepared = g.input(PREPARED, Fact::f32([Dim::Prepared, CHANNELS, side, side]))?;
    let (operator, inputs) = (Arc::new(Concat { axis: 0 }), vec![normalised, prepared]);
    Ok(Node { name: PIXELS.into(), operator, inputs, outputs: vec![pixels] })
}

/// What is divided to make `pixels` of so many images' samples: those less the means, and the deviations.
fn centred(g: &mut Graph, pixels: Wire, images: Dim) -> Result<[Wire; 2], Error> {
    let side = g.fact(pixels).shape[2];
    let samples = Fact::f32([images, side, side, CHANNELS]).of(DType::U8);
    let samples = g.input(SAMPLES, samples)?;
    let each = || Fact::f32([images, CHANNELS, Dim::Fixed(1), Dim::Fixed(1)]);
    let (mean, std) = (g.input(MEAN, each())?, g.input(STD, each())?);
    let planes = g.wire("samples.planes", Transpose { order: vec![0, 3, 1, 2] }, &[samples])?; // [Bs, 3, S, S]
    let floats = g.wire("samples.floats", Cast { to: DType::F32 }, &[planes])?;
    let white = g.constant("samples.white", Constant::scalar(WHITE))?;
    let parts = g.wire("samples.parts", Div, &[floats, white])?;
    Ok([g.wire("samples.centred", Sub, &[parts, mean])?, std])
}
