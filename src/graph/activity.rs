//! What hidden neurons do: a forward pass that gives their activations.

use super::layers::Feed;
use super::loss::Loss;
use super::ops::{Mul, ReduceSum};
use super::{Error, Express, Graph, Plan, Trained, architecture};
use crate::backbone::{BackboneConfig, Module};

/// Name of the output with a module's activations, `act(down · h + a)`, `[.., N, R]`.
pub fn active_output(module: Module) -> String {
    format!("active/{module}")
}

/// Name of the output with the squared norm of each token that a module reads, `‖h‖²`, `[.., N, 1]`.
pub fn entering_output(module: Module) -> String {
    format!("entering/{module}")
}

/// Builds the forward pass of a plan; its outputs are the activations of every module with neurons, and the squared
/// norms of what it reads. What is trained are the inputs, as in a training graph.
///
/// # Errors
/// When the plan asks for what the backbone does not have.
pub fn activity_graph(config: &BackboneConfig, plan: &Plan, express: &dyn Express) -> Result<Graph, Error> {
    plan.check(config)?;
    let mut g = Graph::new(format!("activity {plan}"));
    let trained = Trained { express, loss: Loss::CrossEntropy, drops_paths: false };
    architecture::wire(&mut g, config, plan, Feed::Shared(trained))?;
    for module in plan.modules.iter().filter(|module| module.form.has_width()) {
        let read = |g: &Graph, node: &str| {
            let name = format!("{module}.{node}");
            g.nodes().iter().find(|node| node.name == name).map(|node| node.inputs[0])
        };
        if let (Some(active), Some(entering)) = (read(&g, "change"), read(&g, "hidden")) {
            g.output(active_output(module), active);
            let square = g.wire(format!("{module}.square"), Mul, &[entering, entering])?;
            let last = g.fact(square).rank() - 1;
            let sum = ReduceSum { axes: vec![last], keep: true };
            let norms = g.wire(format!("{module}.norms"), sum, &[square])?;
            g.output(entering_output(module), norms);
        }
    }
    Ok(g.pruned())
}
