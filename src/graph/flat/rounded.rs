//! Weights rounded to few bits, as packs keep them.
//!
//! Sums are made in single precision, and halves go to the even neighbour: a weight that lies as near to two levels may get the
//! other one in a pack.
//!
//! ```text
//! w ≈ m + s · q((w − m) / s)      m mean, s deviation of the matrix; q the level of the interval it is in
//! w ≈ a · round(w / a)            a = max |w| / most, over the matrix or over each output's weights
//! ```
//! With edges e₁ < … < eₙ, levels l₀ < … < lₙ and `[x < e]` 1 or 0:
//! ```text
//! q(x) = lₙ − Σᵢ (lᵢ − lᵢ₋₁) [x < eᵢ]          [x < e] = max(sign(e − x), 0)
//! ```

use crate::graph::ops::{Abs, Add, Div, Max, Mul, ReduceMean, ReduceSum, Relu, Round, Sign, Sqrt, Sub};
use crate::graph::ops::{TopK, Transpose, Unsqueeze, View};
use crate::graph::{Constant, Error, Graph, Wire};

/// How weights are rounded.
#[derive(Clone, Debug, PartialEq)]
pub enum Rounding {
    /// To levels of a normal distribution.
    Normal {
        /// The levels of a standard one, ascending.
        levels: Vec<f32>,
        /// Where the intervals meet: one fewer. What lies on an edge is above it.
        edges: Vec<f32>,
    },
    /// To whole multiples of the scale.
    Whole {
        /// The largest multiple.
        most: f32,
        /// Whether each output has a scale of its own.
        by_output: bool,
    },
}

/// Keeps a divisor from zero.
const LEAST: f32 = f32::MIN_POSITIVE;

/// The weights of a vector that holds a matrix `[in, outputs]`, rounded.
///
/// # Errors
/// When the vector holds no such matrix.
pub(super) fn rounded(
    g: &mut Graph,
    (name, shape): (&str, [usize; 2]),
    wire: Wire,
    rounding: &Rounding,
) -> Result<Wire, Error> {
    match rounding {
        Rounding::Normal { levels, edges } => normal(g, name, wire, (levels, edges)),
        Rounding::Whole { most, by_output: false } => whole(g, (name, [shape[0] * shape[1], 1]), wire, *most),
        Rounding::Whole { most, by_output: true } => whole(g, (name, shape), wire, *most),
    }
}

fn normal(g: &mut Graph, name: &str, wire: Wire, (levels, edges): (&[f32], &[f32])) -> Result<Wire, Error> {
    let named = |part: &str| format!("{name}.{part}");
    let axis = ReduceMean { axis: 0, keep: true };
    let mean = g.wire(named("mean"), axis, &[wire])?; // [1]
    let centred = g.wire(named("centred"), Sub, &[wire, mean])?;
    let squares = g.wire(named("squares"), Mul, &[centred, centred])?;
    let variance = g.wire(named("variance"), ReduceMean { axis: 0, keep: true }, &[squares])?;
    let deviation = g.wire(named("deviation"), Sqrt, &[variance])?;
    let divisor = above_zero(g, &named("divisor"), deviation)?;
    let standard = g.wire(named("standard"), Div, &[centred, divisor])?;
    let standard = g.wire(named("standard.column"), Unsqueeze { axis: 1 }, &[standard])?; // [n, 1]

    let mut row = |part: &str, data: Vec<f32>| {
        g.constant(named(part), Constant::F32 { shape: vec![1, data.len()], data })
    };
    let steps = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (edges, steps) = (row("edges", edges.to_vec())?, row("steps", steps)?);
    let before = g.wire(named("before"), Sub, &[edges, standard])?; // [n, edges]
    let sign = g.wire(named("sign"), Sign, &[before])?;
    let below = g.wire(named("below"), Relu, &[sign])?;
    let lost = g.wire(named("lost"), Mul, &[below, steps])?;
    let lost = g.wire(named("lost.sum"), ReduceSum { axes: vec![1], keep: false }, &[lost])?; // [n]
    let last = levels.last().copied().unwrap_or_default();
    let last = g.constant(named("last"), Constant::scalar(last))?;
    let level = g.wire(named("level"), Sub, &[last, lost])?;
    let scaled = g.wire(named("scaled"), Mul, &[level, deviation])?;
    g.wire(named("rounded"), Add, &[scaled, mean])
}

/// A scale for each column of `[rows, scales]`.
fn whole(g: &mut Graph, (name, shape): (&str, [usize; 2]), wire: Wire, most: f32) -> Result<Wire, Error> {
    let named = |part: &str| format!("{name}.{part}");
    let columns = || Transpose { order: vec![1, 0] };
    let matrix = g.wire(named("matrix"), View { shape: shape.to_vec() }, &[wire])?;
    let size = g.wire(named("size"), Abs, &[matrix])?;
    let size = g.wire(named("size.columns"), columns(), &[size])?; // [scales, rows]
    let largest = g.wire(named("largest"), TopK { count: 1 }, &[size])?;
    let largest = g.wire(named("largest.row"), columns(), &[largest])?; // [1, scales]
    let most = g.constant(named("most"), Constant::scalar(most))?;
    let scale = g.wire(named("scale"), Div, &[largest, most])?;
    let divisor = above_zero(g, &named("divisor"), scale)?;
    let multiple = g.wire(named("multiple"), Div, &[matrix, divisor])?;
    let nearest = g.wire(named("nearest"), Round, &[multiple])?;
    g.wire(named("rounded"), Mul, &[nearest, scale])
}

/// At least the smallest normal number.
fn above_zero(g: &mut Graph, name: &str, wire: Wire) -> Result<Wire, Error> {
    let least = g.constant(format!("{name}.least"), Constant::scalar(LEAST))?;
    g.wire(name, Max, &[wire, least])
}
