//! From a plan to its graph, and to its cost.

use super::layers::Feed;
use super::{Dim, Error, Graph, Plan, architecture};
use crate::backbone::{BackboneConfig, Module};

/// Builds a plan's graph.
///
/// # Errors
/// When the plan asks for what the backbone does not have.
pub fn build(config: &BackboneConfig, plan: &Plan) -> Result<Graph, Error> {
    plan.check(config)?;
    let mut g = Graph::new(format!("{} {plan}", config.architecture.name()));
    let (name, x) = architecture::wire(&mut g, config, plan, Feed::Free)?;
    g.output(name, x);
    Ok(g)
}

/// FLOPs of one row under `plan` when each module has the width that `width` says.
///
/// # Errors
/// As [`build`].
pub fn plan_flops(
    config: &BackboneConfig,
    plan: &Plan,
    width: impl Fn(Module) -> usize,
) -> Result<u64, Error> {
    let graph = build(config, plan)?;
    Ok(graph.flops(|dim| match dim {
        Dim::Width(module) => width(module) as u64,
        _ => 1,
    }))
}
