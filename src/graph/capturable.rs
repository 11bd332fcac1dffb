//! Graphs that a GPU may replay as a CUDA graph.
//!
//! A replay launches the kernels that were captured, with the same arguments. Some kernels of ONNX Runtime read arguments from
//! memory that it gives back when the captured run ends: joins of unequal parts read a list of their parts, and a `Gemm` with a
//! bias reads ones, which move when a longer column of them is asked for. So joins become sums of padded parts,
//!
//! ```text
//! [a, b] = [a, 0] + [0, b]
//! ```
//!
//! and biases are added by an operator of their own. Both are exact in fp32.

use std::sync::Arc;

use super::ops::{Add, Pad};
use super::{Dim, Error, Fact, Graph, Node, Wire};

/// Operators that are not captured: convolutions plan again when shapes change, and splits read lists of their parts.
const REFUSED: [&str; 3] = ["Conv", "ConvTranspose", "Split"];

/// The same graph for a GPU to replay; none where an operator keeps it from that: convolutions, and joins of parts that are as
/// long as a pack likes (prompts and prefixes).
///
/// # Errors
/// [`Error::DuplicateName`] when something else has one of the names that are added.
pub fn capturable(graph: &Graph) -> Result<Option<Graph>, Error> {
    let mut is_capturable = true;
    let rewritten = graph.clone().rewrite(|g, node| {
        match node.operator.name() {
            "Concat" => match parts(g, &node) {
                Some(parts) => return joined(g, node, parts),
                None => is_capturable = false,
            },
            "Gemm" if node.inputs.len() > 2 => return biased(g, node),
            name => is_capturable &= !REFUSED.contains(&name),
        }
        g.push(node);
        Ok(())
    })?;
    Ok(is_capturable.then_some(rewritten))
}

/// The axis of a join, and how long its parts are along it; none where that is not known.
fn parts(graph: &Graph, node: &Node) -> Option<(usize, Vec<usize>)> {
    let whole = graph.fact(*node.outputs.first()?);
    let facts: Vec<&Fact> = node.inputs.iter().map(|&wire| graph.fact(wire)).collect();
    let axis = (0..whole.rank())
        .find(|&axis| facts.iter().any(|fact| fact.shape.get(axis) != whole.shape.get(axis)))?;
    let sizes = facts.iter().map(|fact| fact.shape.get(axis).copied().and_then(Dim::fixed));
    Some((axis, sizes.collect::<Option<_>>()?))
}

fn joined(g: &mut Graph, node: Node, (axis, sizes): (usize, Vec<usize>)) -> Result<(), Error> {
    let all: usize = sizes.iter().sum();
    let (mut before, mut padded) = (0, Vec::new());
    for (number, (&part, size)) in node.inputs.iter().zip(sizes).enumerate() {
        let pad = Pad { axis, before, after: all - before - size };
        padded.push(g.wire(format!("{}.part{number}", node.name), pad, &[part])?);
        before += size;
    }
    let Some((last, others)) = padded.split_last() else { return Ok(()) };
    let mut sum: Option<Wire> = None;
    for (number, &part) in others.iter().enumerate() {
        sum = Some(match sum {
            Some(before) => g.wire(format!("{}.sum{number}", node.name), Add, &[before, part])?,
            None => part,
        });
    }
    g.push(Node { operator: Arc::new(Add), inputs: sum.into_iter().chain([*last]).collect(), ..node });
    Ok(())
}

fn biased(g: &mut Graph, node: Node) -> Result<(), Error> {
    let Some((&bias, factors)) = node.inputs.split_last() else { return Ok(()) };
    let name = format!("{}.product", node.name);
    let made = g.fact(node.outputs[0]).clone();
    let product = g.wire_as(name, made, (Arc::clone(&node.operator), factors.to_vec()))?;
    g.push(Node { operator: Arc::new(Add), inputs: vec![product, bias], ..node });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ops::{Concat, Conv, Gemm};

    fn names(graph: &Graph) -> Vec<&str> {
        graph.nodes().iter().map(|node| node.operator.name()).collect()
    }

    #[test]
    fn joins_become_sums_and_biases_are_added_apart() {
        let mut g = Graph::new("g");
        let parts = [1, 3, 2].map(|size| g.weight(&format!("w{size}"), &[1, size, 4]).unwrap());
        let joined = g.wire("joined", Concat { axis: 1 }, &parts).unwrap();
        let (x, bias) = (g.weight("x", &[5, 4]).unwrap(), g.weight("bias", &[5]).unwrap());
        let product = g.wire("y", Gemm { transpose_a: false, transpose_b: true }, &[x, x, bias]).unwrap();
        g.output("joined", joined);
        g.output("y", product);
        let made = capturable(&g).unwrap().unwrap();
        assert_eq!(names(&made), ["Pad", "Pad", "Pad", "Add", "Add", "Gemm", "Add"]);
        assert_eq!(made.nodes()[4].outputs, [joined]);
        assert_eq!((made.nodes()[5].inputs.len(), &made.nodes()[6].outputs[..]), (2, &[product][..]));
        let before = |at: usize| made.nodes()[at].operator.constants(&[g.fact(parts[at])]);
        assert_eq!(before(1)[0], crate::graph::Constant::I64(vec![0, 1, 0, 0, 2, 0]));
    }

    #[test]
    fn convolutions_and_joins_of_any_length_are_not_captured() {
        let mut g = Graph::new("g");
        let (x, w) = (g.weight("x", &[1, 3, 8, 8]).unwrap(), g.weight("w", &[4, 3, 2, 2]).unwrap());
        let made = g.wire("y", Conv { kernel: 2, stride: 2, padding: 0, groups: 1 }, &[x, w]).unwrap();
        g.output("y", made);
        assert!(capturable(&g).unwrap().is_none());
        let mut g = Graph::new("g");
        let each = |dim| Fact::f32([dim, Dim::Fixed(4)]);
        let (a, b) = (g.input("a", each(Dim::Sampled)).unwrap(), g.input("b", each(Dim::Prepared)).unwrap());
        let node = Node {
            name: "y".into(),
            operator: Arc::new(Concat { axis: 0 }),
            inputs: vec![a, b],
            outputs: vec![g.input("y", each(Dim::Batch)).unwrap()],
        };
        g.push(node);
        assert!(capturable(&g).unwrap().is_none());
    }
}
