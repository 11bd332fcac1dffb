//! What gates pay after a step, as a graph.
//!
//! ```text
//! r ← the largest |g| / p of all gates but `left`
//! g ← g − max(min(g, d), −d)       d = share · r · p
//! ```
//! That is `sign(g) · max(|g| − d, 0)`. Other elements than gates have the price p = 0, and stay as they are.

use crate::graph::ops::{Abs, Gather, Max, Mul, Neg, Slice, Sub, TopK};
use crate::graph::{Constant, Error, Fact, Graph, Wire};

/// Input: the price of each gate p, and 0 of other elements, `[P]`.
pub const PRICE: &str = "price";
/// Input: what part of r is paid in this step for each price, `[1]`.
pub const SHARE: &str = "share";

/// The gates of a vector: G of its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// Where each of them is.
    pub places: Vec<usize>,
    /// The price of each.
    pub prices: Vec<f32>,
    /// How many are left in the end: fewer than there are.
    pub left: usize,
}

/// The elements after gates have paid.
///
/// # Errors
/// When no gate is too many.
pub(super) fn paid(g: &mut Graph, gates: &Gates, values: Wire) -> Result<Wire, Error> {
    let fact = g.fact(values).clone();
    let (price, share) = (g.input(PRICE, fact)?, g.input(SHARE, Fact::fixed(&[1]))?);
    let surplus = surplus(g, gates, values)?; // [1]
    let scale = g.wire("scale", Mul, &[surplus, share])?;
    let due = g.wire("due", Mul, &[price, scale])?;
    // min(g, d) = −max(−g, −d)
    let [opposite, most] =
        [("values.opposite", values), ("due.opposite", due)].map(|(name, wire)| g.wire(name, Neg, &[wire]));
    let most = most?;
    let over = g.wire("values.above", Max, &[opposite?, most])?;
    let under = g.wire("values.below", Neg, &[over])?;
    let taken = g.wire("taken", Max, &[under, most])?;
    g.wire("values.paid", Sub, &[values, taken])
}

/// The largest |g| / p of the gates that are too many.
fn surplus(g: &mut Graph, gates: &Gates, values: Wire) -> Result<Wire, Error> {
    let places = Constant::I64(gates.places.iter().map(|&place| place as i64).collect());
    let data: Vec<f32> = gates.prices.iter().map(|price| price.recip()).collect();
    let places = g.constant("gates.places", places)?;
    let worth = g.constant("gates.worth", Constant::F32 { shape: vec![data.len()], data })?;
    let own = g.wire("gates", Gather, &[values, places])?; // [G]
    let size = g.wire("gates.size", Abs, &[own])?;
    let strength = g.wire("gates.strength", Mul, &[size, worth])?;
    let strongest = g.wire("gates.strongest", TopK { count: gates.left + 1 }, &[strength])?;
    g.wire("surplus", Slice { axis: 0, start: gates.left, end: gates.left + 1 }, &[strongest])
}
