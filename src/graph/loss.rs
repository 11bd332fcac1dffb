//! What a training makes small: from logits `[B, C]` and targets to a scalar, and its gradient.
//!
//! ```text
//! cross-entropy          − Σ_rows Σ_c t log softmax(x)           ∂/∂x = softmax(x) · Σ_c t − t
//! binary cross-entropy   Σ_rows w Σ_c (log(1 + eˣ) − t x)        ∂/∂x = w (1 / (1 + e⁻ˣ) − t)
//! squared error          Σ_rows w Σ_c (x − t)²                   ∂/∂x = 2 w (x − t)
//! ```
//! Cross-entropy's targets carry each row's weight. The others take it beside the targets, as a target of zero carries
//! nothing.

use super::ops::{Add, LogSoftmax, Mul, Neg, ReduceSum, Sigmoid, Softmax, Softplus, Sub};
use super::{Dim, Error, Fact, Graph, Wire};

/// Input: soft targets, `[B, C]`; weighted where it is a cross-entropy of classes.
pub const TARGETS: &str = "targets";
/// Input where the loss [is weighted](Loss::is_weighted): the weight of each row, `[B, 1]`.
pub const WEIGHTS: &str = "weights";

/// What a training makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Of one class a row: targets are distributions.
    #[default]
    CrossEntropy,
    /// Of any number of labels a row: each target is a probability of its own.
    BinaryCrossEntropy,
    /// Of values.
    SquaredError,
}

/// A wired loss.
pub(super) struct Wired {
    /// A scalar.
    pub total: Wire,
    /// Its gradient with respect to the logits, `[B, C]`: where reverse mode begins.
    pub gradient: Wire,
}

impl Loss {
    /// Whether rows' weights are an input of their own.
    pub fn is_weighted(self) -> bool {
        self != Self::CrossEntropy
    }

    /// Wires the loss of logits `[B, C]`.
    pub(super) fn wire(self, g: &mut Graph, logits: Wire) -> Result<Wired, Error> {
        let targets = g.input(TARGETS, Fact::f32([Dim::Batch, Dim::Classes]))?;
        match self {
            Self::CrossEntropy => cross_entropy(g, logits, targets),
            Self::BinaryCrossEntropy => binary_cross_entropy(g, logits, targets),
            Self::SquaredError => squared_error(g, logits, targets),
        }
    }
}

fn cross_entropy(g: &mut Graph, logits: Wire, targets: Wire) -> Result<Wired, Error> {
    let log = g.wire("loss.log", LogSoftmax, &[logits])?;
    let product = g.wire("loss.product", Mul, &[log, targets])?;
    let sum = g.wire("loss.sum", ReduceSum { axes: vec![0, 1], keep: false }, &[product])?;
    let total = g.wire("loss.total", Neg, &[sum])?;
    let probabilities = g.wire("loss.probabilities", Softmax, &[logits])?;
    let weights = g.wire("loss.weights", ReduceSum { axes: vec![1], keep: true }, &[targets])?; // [B, 1]
    let expected = g.wire("loss.expected", Mul, &[probabilities, weights])?;
    let gradient = g.wire("loss.grad", Sub, &[expected, targets])?;
    Ok(Wired { total, gradient })
}

fn binary_cross_entropy(g: &mut Graph, logits: Wire, targets: Wire) -> Result<Wired, Error> {
    let softplus = g.wire("loss.softplus", Softplus, &[logits])?;
    let product = g.wire("loss.product", Mul, &[logits, targets])?;
    let each = g.wire("loss.each", Sub, &[softplus, product])?;
    let probabilities = g.wire("loss.probabilities", Sigmoid, &[logits])?;
    let slope = g.wire("loss.slope", Sub, &[probabilities, targets])?;
    weighted(g, each, slope)
}

fn squared_error(g: &mut Graph, logits: Wire, targets: Wire) -> Result<Wired, Error> {
    let error = g.wire("loss.error", Sub, &[logits, targets])?;
    let each = g.wire("loss.each", Mul, &[error, error])?;
    let slope = g.wire("loss.slope", Add, &[error, error])?;
    weighted(g, each, slope)
}

/// Sums what each output gives, and passes its slope on, both by the weights of rows.
fn weighted(g: &mut Graph, each: Wire, slope: Wire) -> Result<Wired, Error> {
    let weights = g.input(WEIGHTS, Fact::f32([Dim::Batch, Dim::Fixed(1)]))?;
    let product = g.wire("loss.weighted", Mul, &[each, weights])?;
    let total = g.wire("loss.total", ReduceSum { axes: vec![0, 1], keep: false }, &[product])?;
    let gradient = g.wire("loss.grad", Mul, &[slope, weights])?;
    Ok(Wired { total, gradient })
}
