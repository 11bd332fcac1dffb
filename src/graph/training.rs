//! One training step as an ordinary graph: forward, loss, gradients.
//!
//! ```text
//! logits = feature · W + b
//! loss   = − Σ_rows Σ_c t log softmax(logits)
//! ∂loss/∂logits = softmax(logits) · Σ_c t − t
//! ```
//! The targets `t` carry each row's weight. For a mean over `n` rows every row sums to `1 / n`, and then a batch
//! may be run in parts whose losses and gradients just add up.

use super::layers::Feed;
use super::ops::{Add, LogSoftmax, MatMul, Mul, Neg, ReduceSum, Softmax, Sub};
use super::{Dim, Error, Fact, Graph, Plan, Wire, architecture, down_input, gradients, up_input};
use crate::backbone::BackboneConfig;

/// Input: soft targets, weighted, `[B, C]`.
pub const TARGETS: &str = "targets";
/// Input: the head's weight, `[D, C]`.
pub const HEAD_WEIGHT: &str = "head.weight";
/// Input: the head's bias, `[C]`.
pub const HEAD_BIAS: &str = "head.bias";
/// Output: the weighted sum of the rows' cross-entropies, a scalar.
pub const LOSS: &str = "loss";
/// Output: `[B, C]`.
pub const LOGITS: &str = "logits";

/// Name of the output that gives the gradient of an input, which has that input's shape.
pub fn gradient_output(input: &str) -> String {
    format!("grad/{input}")
}

/// Names of the trainable inputs of a plan's training graph: each site's down-projection `[D, R]` and
/// up-projection `[R, D]`, then the head's weight and bias. Their gradients are outputs in the same order, after
/// [`LOSS`] and [`LOGITS`].
pub fn trainable_inputs(plan: &Plan) -> Vec<String> {
    let adapters = plan.sites.iter().flat_map(|site| [down_input(site), up_input(site)]);
    adapters.chain([HEAD_WEIGHT.into(), HEAD_BIAS.into()]).collect()
}

/// Builds the step of a plan that ends at the last block. One that begins later starts from [`HIDDEN`](super::HIDDEN).
///
/// # Errors
/// When the plan asks for what the backbone does not have, or does not end at the last block.
pub fn training_graph(config: &BackboneConfig, plan: &Plan) -> Result<Graph, Error> {
    plan.check(config)?;
    if plan.blocks.end != config.depth() {
        let reason = "a head needs the last block".into();
        return Err(Error::Plan { plan: plan.to_string(), reason });
    }
    let mut g = Graph::new(format!("training {plan}"));
    let (_, features) = architecture::wire(&mut g, config, plan, Feed::Shared)?; // [B, D]
    let logits = head(&mut g, features, config.feature_width())?;
    let (loss, seed) = cross_entropy(&mut g, logits)?;
    g.output(LOSS, loss);
    g.output(LOGITS, logits);
    let names = trainable_inputs(plan);
    let named = |name: &String| g.inputs().iter().copied().find(|&wire| g.wire_name(wire) == name);
    let targets: Vec<Wire> = names.iter().filter_map(named).collect();
    let found = gradients(&mut g, (logits, seed), &targets)?;
    for (name, gradient) in names.iter().zip(found) {
        if let Some(gradient) = gradient {
            g.output(gradient_output(name), gradient);
        }
    }
    Ok(g.pruned())
}

/// `logits = feature · W + b`.
///
/// # Shapes
/// `[B, D]` to `[B, C]`.
fn head(g: &mut Graph, features: Wire, width: usize) -> Result<Wire, Error> {
    let weight = g.input(HEAD_WEIGHT, Fact::f32([Dim::Fixed(width), Dim::Classes]))?;
    let bias = g.input(HEAD_BIAS, Fact::f32([Dim::Classes]))?;
    let product = g.wire("head.product", MatMul, &[features, weight])?;
    g.wire("head", Add, &[product, bias])
}

/// The loss and its gradient with respect to the logits, which is where reverse mode begins.
///
/// # Shapes
/// `[B, C]` to a scalar and `[B, C]`.
fn cross_entropy(g: &mut Graph, logits: Wire) -> Result<(Wire, Wire), Error> {
    let targets = g.input(TARGETS, Fact::f32([Dim::Batch, Dim::Classes]))?;
    let log = g.wire("loss.log", LogSoftmax, &[logits])?;
    let product = g.wire("loss.product", Mul, &[log, targets])?;
    let sum = g.wire("loss.sum", ReduceSum { axes: vec![0, 1], keep: false }, &[product])?;
    let loss = g.wire("loss.total", Neg, &[sum])?;
    let probabilities = g.wire("loss.probabilities", Softmax, &[logits])?;
    let weights = g.wire("loss.weights", ReduceSum { axes: vec![1], keep: true }, &[targets])?; // [B, 1]
    let expected = g.wire("loss.expected", Mul, &[probabilities, weights])?;
    let seed = g.wire("loss.grad", Sub, &[expected, targets])?;
    Ok((loss, seed))
}
