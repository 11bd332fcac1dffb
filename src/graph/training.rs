//! One training step as an ordinary graph: forward, loss, gradients.
//!
//! ```text
//! logits = feature · W + b
//! loss   = Σ_rows of a [`Loss`]
//! ```
//! The targets, or weights beside them, carry each row's weight. For a mean over `n` rows each has `1 / n`, and then a
//! batch may be run in parts whose losses and gradients just add up.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::layers::Feed;
use super::ops::{Add, MatMul};
use super::{Dim, Error, Fact, Graph, ParameterName, Plan, Trained, Wire, architecture, gradients};
use crate::backbone::BackboneConfig;

pub use super::loss::{Loss, TARGETS, WEIGHTS};
pub use super::parameter::{HEAD_BIAS, HEAD_WEIGHT};

/// Output: the weighted sum of the rows' losses, a scalar.
pub const LOSS: &str = "loss";
/// Output: `[B, C]`.
pub const LOGITS: &str = "logits";

/// Name of the output that gives the gradient of an input, which has that input's shape.
pub fn gradient_output(input: impl Display) -> String {
    format!("{GRADIENT}{input}")
}

/// Whether an output gives a gradient.
pub(super) fn is_gradient(output: &str) -> bool {
    output.starts_with(GRADIENT)
}

/// What the names of those outputs begin with.
const GRADIENT: &str = "grad/";

/// Builds the step of a plan that ends at the last block. One that begins later starts from [`HIDDEN`](super::HIDDEN).
/// What is trained are the inputs under names of parameters, the head's among them; the gradient of each is the output
/// that [`gradient_output`] names.
///
/// # Errors
/// When the plan asks for what the backbone does not have, does not end at the last block, or holds a parameter that
/// the loss does not depend on.
pub fn training_graph(config: &BackboneConfig, plan: &Plan, trained: Trained<'_>) -> Result<Graph, Error> {
    tuning_graph(config, plan, trained, |_| false)
}

/// As [`training_graph`], where weights of the backbone that `tuned` chooses by name are trained too: inputs under their
/// names, whose gradients are outputs like those of parameters.
///
/// # Errors
/// As [`training_graph`].
pub fn tuning_graph(
    config: &BackboneConfig,
    plan: &Plan,
    trained: Trained<'_>,
    tuned: impl Fn(&str) -> bool,
) -> Result<Graph, Error> {
    plan.check(config)?;
    if plan.blocks.end != config.depth() {
        let reason = "a head needs the last block".into();
        return Err(Error::Plan { plan: plan.to_string(), reason });
    }
    let mut g = Graph::new(format!("training {plan}"));
    let (_, features) = architecture::wire(&mut g, config, plan, Feed::Shared(trained))?; // [B, D]
    let logits = head(&mut g, features, config.feature_width())?;
    let loss = trained.loss.wire(&mut g, logits)?;
    g.output(LOSS, loss.total);
    g.output(LOGITS, logits);
    let parameters = trainable(&g).into_iter().map(|(name, wire)| (name.to_string(), wire));
    let parameters: BTreeMap<String, Wire> = parameters.chain(g.free(tuned)).collect();
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

fn untrained(g: &Graph, name: &str, reason: &'static str) -> Error {
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
