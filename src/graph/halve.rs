//! Spans of a graph in 16-bit floats.
//!
//! ```text
//! y = half(x) · half(w) + half(b)        and on in halves, until something needs fp32
//! ```
//! A span begins at a product with a frozen matrix, or of two activations in attention, and runs through what follows it
//! as long as no sum of many terms is stored: biases, scales, heads, softmax, activation functions. Casts stand at its
//! borders alone. Products and softmax sum in fp32 inside a GPU's kernels; what is stored between them is rounded.
//!
//! | in fp32 | why |
//! |---|---|
//! | the residual stream, pooled features | sums over all blocks: they may outgrow a half (65,504), and roundings add up |
//! | norms | statistics of that stream |
//! | modules, heads | their tensors are fp32, fed at each run |
//! | convolutions, the embedding | one a program |
//! | whatever carries gradients | which would need scaling to fit into a half |
//!
//! A scale of attention's scores is applied to the queries: an unscaled score may outgrow a half.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ops::{Cast, Mul};
use super::spans::{Spans, spans};
use super::{Constant, DType, Derived, Error, Graph, Node, Operator, Wire};

/// The same graph with spans in 16-bit floats.
///
/// # Errors
/// [`Error::DuplicateName`] when the graph is halved already.
pub fn halved(graph: &Graph) -> Result<Graph, Error> {
    let mut halver = Halver { graph, spans: spans(graph), halves: BTreeMap::new() };
    let mut at = 0;
    graph.clone().rewrite(|g, node| {
        at += 1;
        match halver.spans.holds(at - 1) {
            true => halver.halve(g, node),
            false => {
                g.push(node);
                Ok(())
            }
        }
    })
}

/// What is known while a graph is rewritten.
struct Halver<'a> {
    graph: &'a Graph,
    spans: Spans,
    /// The half of a wire, where there is one already.
    halves: BTreeMap<Wire, Wire>,
}

impl Halver<'_> {
    /// Wires a node of a span in halves, and its result in fp32 where somebody reads it so.
    fn halve(&mut self, g: &mut Graph, node: Node) -> Result<(), Error> {
        if self.spans.scaled_later(&node) {
            return Ok(());
        }
        let made = match self.spans.product_before(&node).cloned() {
            Some(product) => self.scaled(g, &node, product)?,
            None => {
                let inputs = node.inputs.iter().map(|&wire| self.half(g, wire));
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                made_half(g, &node.name, node.outputs[0], (Arc::clone(&node.operator), inputs))?
            }
        };
        let own = node.outputs[0];
        self.halves.insert(own, made);
        if self.spans.read_in_fp32(own) {
            // The node's own wire, so that whoever read it reads this.
            g.push(Node { operator: Arc::new(Cast { to: DType::F32 }), inputs: vec![made], ..node });
        }
        Ok(())
    }

    /// `(s a) b` for `s (a b)`: a product, and the scale of what it gives.
    fn scaled(&mut self, g: &mut Graph, scale: &Node, product: Node) -> Result<Wire, Error> {
        let left = self.half(g, product.inputs[0])?;
        let right = self.half(g, product.inputs[1])?;
        let by = self.half(g, scale.inputs[1])?;
        // What is scaled has the shape of what it is made from.
        let name = format!("{}.left", product.name);
        let left = made_half(g, &name, left, (Arc::new(Mul), vec![left, by]))?;
        made_half(g, &scale.name, scale.outputs[0], (product.operator, vec![left, right]))
    }

    /// A wire in halves; integers as they are.
    fn half(&mut self, g: &mut Graph, wire: Wire) -> Result<Wire, Error> {
        if let Some(&half) = self.halves.get(&wire) {
            return Ok(half);
        }
        let fact = g.fact(wire).clone();
        if fact.dtype != DType::F32 {
            return Ok(wire);
        }
        let name = Derived::Half.name(g.wire_name(wire));
        let half = match (self.spans.weight(wire), constant(self.graph, wire)) {
            (true, _) => g.weight_like(&name, fact.of(DType::F16))?,
            (_, Some(halves)) => g.constant(name, halves)?,
            _ => g.wire(name, Cast { to: DType::F16 }, &[wire])?,
        };
        self.halves.insert(wire, half);
        Ok(half)
    }
}

/// Wires the half of a node: what it makes has the shape of `like`.
fn made_half(
    g: &mut Graph,
    name: &str,
    like: Wire,
    of: (Arc<dyn Operator>, Vec<Wire>),
) -> Result<Wire, Error> {
    let fact = g.fact(like).clone().of(DType::F16);
    g.wire_as(Derived::Half.name(name), fact, of)
}

/// A constant of floats, rounded.
fn constant(graph: &Graph, wire: Wire) -> Option<Constant> {
    match &graph.constants().iter().find(|(own, _)| *own == wire)?.1 {
        Constant::F32 { shape, data } => {
            let data = data.iter().map(|&x| half::f16::from_f32(x)).collect();
            Some(Constant::F16 { shape: shape.clone(), data })
        }
        _ => None,
    }
}
