//! What gates pay after a step, as a graph.
//!
//! ```text
//! r ← the largest |g| / p but `left`
//! g ← g − max(min(g, d), −d)       d = share · r · p
//! ```
//! That is `sign(g) · max(|g| − d, 0)`. Other elements than gates have the price p = 0, and stay as they are; their 1 / p is fed
//! as 0.

use crate::graph::ops::{Extreme, Max, Mul, Neg, ReduceExtreme, Sub, TopK};
use crate::graph::{Error, Fact, Graph, Wire};

/// Input: the price of each gate p, and 0 of other elements, `[P]`.
pub const PRICE: &str = "price";
/// Input: 1 / p of each gate, and 0 of other elements, `[P]`.
pub const WORTH: &str = "worth";
/// Input: what part of r is paid in this step for each price, `[1]`.
pub const SHARE: &str = "share";

/// The elements after they have paid, of which `left` of the strongest gates are to be left in the end.
///
/// # Errors
/// When there are no more elements than that.
pub(super) fn paid(g: &mut Graph, (count, left): (usize, usize), values: Wire) -> Result<Wire, Error> {
    let mut vector = |name: &str| g.input(name, Fact::fixed(&[count]));
    let [price, worth] = [vector(PRICE)?, vector(WORTH)?];
    let share = g.input(SHARE, Fact::fixed(&[1]))?;
    let opposite = g.wire("values.opposite", Neg, &[values])?;
    let size = g.wire("values.size", Max, &[values, opposite])?;
    let strength = g.wire("strength", Mul, &[size, worth])?;
    let strongest = g.wire_all("strongest", TopK { count: left + 1 }, &[strength])?;
    let least = ReduceExtreme { extreme: Extreme::Min, axis: 0 };
    let surplus = g.wire("surplus", least, &strongest[..1])?; // [1]
    let scale = g.wire("scale", Mul, &[surplus, share])?;
    let due = g.wire("due", Mul, &[price, scale])?;
    // min(g, d) = −max(−g, −d)
    let most = g.wire("due.opposite", Neg, &[due])?;
    let over = g.wire("values.above", Max, &[opposite, most])?;
    let under = g.wire("values.below", Neg, &[over])?;
    let taken = g.wire("taken", Max, &[under, most])?;
    g.wire("values.paid", Sub, &[values, taken])
}
