//! Reverse-mode differentiation of a graph (Griewank and Walther 2008, chapter 3).

use std::collections::{BTreeMap, BTreeSet};

use super::ops::Add;
use super::{Error, Graph, Node, Wire};

/// Wires the gradients of `targets`, given `seed`, the gradient of `output`.
///
/// Only nodes on a path from a target to the output are walked: below the lowest target nothing is computed,
/// and frozen weights get no gradient. The answer has each target's gradient; one that does not reach the output has
/// none.
///
/// # Shapes
/// `seed` has the shape of `output`; each gradient has the shape of its target.
///
/// # Errors
/// [`Error::NoGradient`] when an operator on the way has none.
pub fn gradients(
    g: &mut Graph,
    (output, seed): (Wire, Wire),
    targets: &[Wire],
) -> Result<BTreeMap<Wire, Wire>, Error> {
    let nodes: Vec<Node> = g.nodes().to_vec();
    let active = reached(&nodes, targets);
    let mut found = BTreeMap::from([(output, seed)]);
    for node in nodes.iter().rev() {
        let Some(&grad) = found.get(&node.outputs[0]) else { continue };
        let needed: Vec<bool> = node.inputs.iter().map(|wire| active.contains(wire)).collect();
        if !needed.contains(&true) {
            continue;
        }
        let parts = node.operator.backward(g, node, grad, &needed)?;
        for (i, (&input, part)) in node.inputs.iter().zip(parts).enumerate() {
            if let Some(part) = part.filter(|_| needed[i]) {
                add(g, &mut found, (node, i), (input, part))?;
            }
        }
    }
    Ok(targets.iter().filter_map(|target| Some((*target, *found.get(target)?))).collect())
}

/// Wires that depend on a target, targets included.
fn reached(nodes: &[Node], targets: &[Wire]) -> BTreeSet<Wire> {
    let mut active: BTreeSet<Wire> = targets.iter().copied().collect();
    for node in nodes {
        if node.inputs.iter().any(|wire| active.contains(wire)) {
            active.extend(&node.outputs);
        }
    }
    active
}

/// A wire that is read several times gets the sum of what its readers give.
fn add(
    g: &mut Graph,
    found: &mut BTreeMap<Wire, Wire>,
    (node, i): (&Node, usize),
    (input, part): (Wire, Wire),
) -> Result<(), Error> {
    let sum = match found.get(&input) {
        Some(&earlier) => g.wire(format!("{}.grad.{i}.sum", node.name), Add, &[earlier, part])?,
        None => part,
    };
    found.insert(input, sum);
    Ok(())
}
