//! One training step as an ordinary graph: forward, loss, gradients.
//!
//! ```text
//! logits = feature · W + b
//! loss   = − Σ_rows Σ_c t log softmax(logits)
//! ∂loss/∂logits = softmax(logits) · Σ_c t − t
//! ```
//! The targets `t` carry each row's weight. For a mean over `n` rows every row sums to `1 / n`, and then a batch
//! may be run in parts whose losses and gradients just add up.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::layers::Feed;
use super::ops::{Add, LogSoftmax, MatMul, Mul, Neg, ReduceSum, Softmax, Sub};
use super::{Dim, Error, Fact, Graph, ParameterName, Plan, Trained, Wire, architecture, gradients};
use crate::backbone::BackboneConfig;

pub use super::parameter::{HEAD_BIAS, HEAD_WEIGHT};

/// Input: soft targets, weighted, `[B, C]`.
pub const TARGETS: &str = "targets";
/// Output: the weighted sum of the rows' cross-entropies, a scalar.
pub const LOSS: &str = "loss";
/// Output: `[B, C]`.
pub const LOGITS: &str = "logits";

/// Name of the output that gives the gradient of an input, which has that input's shape.
pub fn gradient_output(input: impl Display) -> String {
    format!("grad/{input}")
}

/// Builds the step of a plan that ends at the last block. One that begins later starts from [`HIDDEN`](super::HIDDEN).
/// What is trained are the inputs under names of parameters, the head's among them; the gradient of each is the output
/// that [`gradient_output`] names.
///
/// # Errors
/// When the plan asks for what the backbone does not have, does not end at the last block, or holds a parameter that
/// the loss does not depend on.
pub fn training_graph(config: &BackboneConfig, plan: &Plan, trained: Trained<'_>) -> Result<Graph, Error> {
    plan.check(config)?;
    if plan.blocks.end != config.depth() {
        let reason = "a head needs the last block".into();
        return Err(Error::Plan { plan: plan.to_string(), reason });
    }
    let mut g = Graph::new(format!("training {plan}"));
    let (_, features) = architecture::wire(&mut g, config, plan, Feed::Shared(trained))?; // [B, D]
    let logits = head(&mut g, features, config.feature_width())?;
    let loss = cross_entropy(&mut g, logits)?;
    g.output(LOSS, loss.total);
    g.output(LOGITS, logits);
    let parameters = trainable(&g);
    let targets: Vec<Wire> = parameters.values().copied().collect();
    let found = gradients(&mut g, (logits, loss.gradient), &targets)?;
    for (name, wire) in &parameters {
        let gradient =
            found.get(wire).ok_or_else(|| untrained(&g, name, "the loss does not depend on it"))?;
        g.output(gradient_output(name), *gradient);
    }
    Ok(g.pruned())
}

/// The inputs of a graph that are trained, by name.
pub fn trainable(g: &Graph) -> BTreeMap<ParameterName, Wire> {
    let named = |&wire: &Wire| Some((g.wire_name(wire).parse().ok()?, wire));
    g.inputs().iter().filter_map(named).collect()
}

fn untrained(g: &Graph, name: &ParameterName, reason: &'static str) -> Error {
    Error::Untrained { graph: g.name().into(), name: name.to_string(), reason }
}

/// `logits = feature · W + b`.
///
/// # Shapes
/// `[B, D]` to `[B, C]`.
fn head(g: &mut Graph, features: Wire, width: usize) -> Result<Wire, Error> {
    let weight =
        g.input(ParameterName::HeadWeight.to_string(), Fact::f32([Dim::Fixed(width), Dim::Classes]))?;
    let bias = g.input(ParameterName::HeadBias.to_string(), Fact::f32([Dim::Classes]))?;
    let product = g.wire("head.product", MatMul, &[features, weight])?;
    g.wire("head", Add, &[product, bias])
}

/// The loss, and where reverse mode begins.
struct Loss {
    /// A scalar.
    total: Wire,
    /// Its gradient with respect to the logits, `[B, C]`.
    gradient: Wire,
}

/// Wires the loss of logits `[B, C]`.
fn cross_entropy(g: &mut Graph, logits: Wire) -> Result<Loss, Error> {
    let targets = g.input(TARGETS, Fact::f32([Dim::Batch, Dim::Classes]))?;
    let log = g.wire("loss.log", LogSoftmax, &[logits])?;
    let product = g.wire("loss.product", Mul, &[log, targets])?;
    let sum = g.wire("loss.sum", ReduceSum { axes: vec![0, 1], keep: false }, &[product])?;
    let total = g.wire("loss.total", Neg, &[sum])?;
    let probabilities = g.wire("loss.probabilities", Softmax, &[logits])?;
    let weights = g.wire("loss.weights", ReduceSum { axes: vec![1], keep: true }, &[targets])?; // [B, 1]
    let expected = g.wire("loss.expected", Mul, &[probabilities, weights])?;
    let gradient = g.wire("loss.grad", Sub, &[expected, targets])?;
    Ok(Loss { total, gradient })
}
