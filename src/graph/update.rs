//! A step of AdamW as a graph, on everything that is trained as one vector of P elements.
//!
//! ```text
//! g ← μ g                         where some elements are held at zero; their μ is 0, that of others 1. A gradient of theirs
//!                                 that is not finite stays so
//! g ← g / max(1, (‖g‖₂ + 1e-6) / clip)
//! m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
//! θ ← θ (1 − η s λ) − η s (m / (1 − β₁ᵗ)) / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//! AdamW is Loshchilov and Hutter's (2019) in PyTorch's order, clipping that of `torch.nn.utils.clip_grad_norm_`. Rates and
//! corrections are fed at each step. λ and the pace s may differ from element to element. Gates then pay ([`proximal`]).

pub mod proximal;

use proximal::Gates;

use super::ops::{Add, Div, Max, Mul, ReduceSum, Sqrt, Sub};
use super::{Constant, Error, Fact, Graph, Wire};

/// Input and output: the parameters θ, `[P]`.
pub const VALUES: &str = "values";
/// Input and output: means of gradients m, `[P]`.
pub const MEAN: &str = "mean";
/// Input and output: means of squared gradients v, `[P]`.
pub const SQUARE: &str = "square";
/// Input and output where they are summed: all clipped gradients, `[P]`.
pub const SUM: &str = "sum";
/// Input: the gradients g, `[P]`.
pub const GRADIENT: &str = "gradient";
/// Input: weight decay of each element λ, `[P]`.
pub const DECAY: &str = "decay";
/// Input: what the rate of each element is multiplied by s, `[P]`.
pub const PACE: &str = "pace";
/// Input where there are masks: which elements are trained μ, 0 or 1, `[P]`.
pub const MASK: &str = "mask";
/// Input: the learning rate η, `[1]`.
pub const RATE: &str = "rate";
/// Input: `η / (1 − β₁ᵗ)`, `[1]`.
pub const SIZE: &str = "size";
/// Input: `√(1 − β₂ᵗ)`, `[1]`.
pub const CORRECTION: &str = "correction";

/// What the name of an output adds to that of its input.
const NEXT: &str = "next/";
/// Added to the norm before dividing, as PyTorch does.
const STEADY: f32 = 1e-6;

/// Name of the output that follows an input.
pub fn next(input: &str) -> String {
    format!("{NEXT}{input}")
}

/// Settings that stay the same from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the mean of gradients (β₁).
    pub beta1: f64,
    /// Decay of the mean of squared gradients (β₂).
    pub beta2: f64,
    /// Keeps the denominator from zero (ε).
    pub epsilon: f64,
}

impl Default for AdamWOptions {
    /// `torch.optim.AdamW`'s defaults.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl AdamWOptions {
    /// `1 − β₁ᵗ` and `√(1 − β₂ᵗ)` in step t, from 1.
    pub fn corrections(self, step: i32) -> [f64; 2] {
        [1.0 - self.beta1.powi(step), (1.0 - self.beta2.powi(step)).sqrt()]
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateOptions {
    /// Settings of AdamW.
    pub adamw: AdamWOptions,
    /// Largest global norm of the gradients.
    pub clip: f64,
    /// Whether some elements are held at zero.
    pub is_masked: bool,
    /// Whether clipped gradients are summed.
    pub sums: bool,
    /// The gates, where they pay.
    pub gates: Option<Gates>,
}

impl UpdateOptions {
    /// A plain step: PyTorch's settings, gradients clipped to that norm.
    pub fn new(clip: f64) -> Self {
        Self { adamw: AdamWOptions::default(), clip, is_masked: false, sums: false, gates: None }
    }
}

/// The step on a vector of `count` elements.
///
/// # Errors
/// When no gate is too many.
pub fn update(count: usize, options: &UpdateOptions) -> Result<Graph, Error> {
    let mut g = Graph::new(format!("update of {count}"));
    let gradient = gradient(&mut g, count, options)?;
    let [mean, square] = moments(&mut g, (count, options.adamw), gradient)?;
    let moved = moved(&mut g, (count, options.adamw), [mean, square])?;
    let values = match &options.gates {
        Some(gates) => proximal::paid(&mut g, gates, moved)?,
        None => moved,
    };
    for (name, wire) in [(VALUES, values), (MEAN, mean), (SQUARE, square)] {
        g.output(next(name), wire);
    }
    if options.sums {
        let sum = g.input(SUM, Fact::fixed(&[count]))?;
        let sum = g.wire("sum.moved", Add, &[sum, gradient])?;
        g.output(next(SUM), sum);
    }
    Ok(g)
}

/// The clipped gradients of what is trained.
fn gradient(g: &mut Graph, count: usize, options: &UpdateOptions) -> Result<Wire, Error> {
    let gradient = g.input(GRADIENT, Fact::fixed(&[count]))?;
    if !options.is_masked {
        return clipped(g, gradient, options.clip);
    }
    let mask = g.input(MASK, Fact::fixed(&[count]))?;
    let held = g.wire("gradient.held", Mul, &[gradient, mask])?;
    clipped(g, held, options.clip)
}

/// The next means of gradients and of their squares.
fn moments(
    g: &mut Graph,
    (count, options): (usize, AdamWOptions),
    gradient: Wire,
) -> Result<[Wire; 2], Error> {
    let mut vector = |name: &str| g.input(name, Fact::fixed(&[count]));
    let [mean, square] = [vector(MEAN)?, vector(SQUARE)?];
    let mean = average(g, (MEAN, options.beta1), [mean, gradient])?;
    let squares = g.wire("gradient.squared", Mul, &[gradient, gradient])?;
    Ok([mean, average(g, (SQUARE, options.beta2), [square, squares])?])
}

/// The parameters after the step.
fn moved(
    g: &mut Graph,
    (count, options): (usize, AdamWOptions),
    [mean, square]: [Wire; 2],
) -> Result<Wire, Error> {
    let mut vector = |name: &str| g.input(name, Fact::fixed(&[count]));
    let [values, decay, pace] = [vector(VALUES)?, vector(DECAY)?, vector(PACE)?];
    let mut one = |name: &str| g.input(name, Fact::fixed(&[1]));
    let [rate, size, correction] = [one(RATE)?, one(SIZE)?, one(CORRECTION)?];
    let root = g.wire("root", Sqrt, &[square])?;
    let corrected = g.wire("root.corrected", Div, &[root, correction])?;
    let denominator = plus(g, "denominator", (corrected, options.epsilon as f32))?;
    let sizes = g.wire("sizes", Mul, &[pace, size])?;
    let moved = g.wire("moved", Mul, &[mean, sizes])?;
    let moved = g.wire("moved.corrected", Div, &[moved, denominator])?;
    let rates = g.wire("rates", Mul, &[pace, rate])?;
    let lost = g.wire("lost", Mul, &[rates, decay])?;
    let whole = g.constant("whole", Constant::scalar(1.0))?;
    let kept = g.wire("kept", Sub, &[whole, lost])?;
    let kept = g.wire("values.kept", Mul, &[values, kept])?;
    g.wire("values.moved", Sub, &[kept, moved])
}

/// `g / max(1, (‖g‖₂ + 1e-6) / clip)`.
fn clipped(g: &mut Graph, gradient: Wire, clip: f64) -> Result<Wire, Error> {
    let squares = g.wire("norm.squares", Mul, &[gradient, gradient])?;
    let total = g.wire("norm.square", ReduceSum { axes: vec![0], keep: true }, &[squares])?; // [1]
    let norm = g.wire("norm", Sqrt, &[total])?;
    let norm = plus(g, "norm.steady", (norm, STEADY))?;
    let over = times(g, "norm.over", (norm, (1.0 / clip) as f32))?;
    let one = g.constant("norm.least", Constant::scalar(1.0))?;
    let divisor = g.wire("norm.divisor", Max, &[over, one])?;
    g.wire("gradient.clipped", Div, &[gradient, divisor])
}

/// `β a + (1 − β) b`.
fn average(g: &mut Graph, (name, beta): (&str, f64), [a, b]: [Wire; 2]) -> Result<Wire, Error> {
    let old = times(g, &format!("{name}.old"), (a, beta as f32))?;
    let fresh = times(g, &format!("{name}.fresh"), (b, (1.0 - beta) as f32))?;
    g.wire(format!("{name}.averaged"), Add, &[old, fresh])
}

fn times(g: &mut Graph, name: &str, (a, b): (Wire, f32)) -> Result<Wire, Error> {
    let b = g.constant(format!("{name}.by"), Constant::scalar(b))?;
    g.wire(name, Mul, &[a, b])
}

fn plus(g: &mut Graph, name: &str, (a, b): (Wire, f32)) -> Result<Wire, Error> {
    let b = g.constant(format!("{name}.by"), Constant::scalar(b))?;
    g.wire(name, Add, &[a, b])
}
