//! Which nodes of a graph compute in 16-bit floats.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{HIDDEN, PIXELS};
use super::ops::{
    Add, Gelu, GeluTanh, JoinLast, MatMul, Mul, Relu, Reshape, Sigmoid, Softmax, SplitLast, Transpose,
};
use super::quantise::frozen;
use super::samples::SAMPLES;
use super::spread::STATES;
use super::training::is_gradient;
use super::{Graph, Node, Operator, Wire};

/// Nodes in halves, and what their neighbours need to know.
pub(super) struct Spans {
    nodes: Vec<bool>,
    weights: BTreeSet<Wire>,
    /// Wires that somebody reads in fp32.
    fp32: BTreeSet<Wire>,
    /// Products whose results are scaled and otherwise unread, by what the scaling reads.
    scaled: BTreeMap<Wire, Node>,
}

impl Spans {
    /// Whether the node at a place is in a span.
    pub(super) fn holds(&self, at: usize) -> bool {
        self.nodes[at]
    }

    /// Whether a wire is a frozen weight.
    pub(super) fn weight(&self, wire: Wire) -> bool {
        self.weights.contains(&wire)
    }

    /// Whether somebody reads in fp32 what a node of a span makes.
    pub(super) fn read_in_fp32(&self, wire: Wire) -> bool {
        self.fp32.contains(&wire)
    }

    /// Whether a node is a product that is wired with the scale of its result.
    pub(super) fn scaled_later(&self, node: &Node) -> bool {
        self.scaled.contains_key(&node.outputs[0])
    }

    /// The product that a node scales the result of.
    pub(super) fn product_before(&self, node: &Node) -> Option<&Node> {
        self.scaled.get(node.inputs.first()?)
    }
}

/// Finds the spans of a graph.
pub(super) fn spans(graph: &Graph) -> Spans {
    let mut finder = Finder::new(graph);
    let nodes: Vec<bool> = graph.nodes().iter().map(|node| finder.is_half(node)).collect();
    let mut fp32: BTreeSet<Wire> = graph.outputs().iter().map(|&(_, wire)| wire).collect();
    let others = graph.nodes().iter().zip(&nodes).filter(|(_, half)| !**half);
    fp32.extend(others.flat_map(|(node, _)| &node.inputs));
    let scaled = scaled(graph, &nodes);
    Spans { nodes, weights: finder.weights, fp32, scaled }
}

/// Products of activations whose results a constant scales, and which nothing else reads.
fn scaled(graph: &Graph, half: &[bool]) -> BTreeMap<Wire, Node> {
    let mut readers: BTreeMap<Wire, usize> = BTreeMap::new();
    let outputs = graph.outputs().iter().map(|(_, wire)| wire);
    graph
        .nodes()
        .iter()
        .flat_map(|node| &node.inputs)
        .chain(outputs)
        .for_each(|&wire| *readers.entry(wire).or_default() += 1);
    let products: BTreeMap<Wire, &Node> = graph
        .nodes()
        .iter()
        .filter(|node| node.operator.is::<MatMul>() && frozen(graph, node).is_none())
        .map(|node| (node.outputs[0], node))
        .collect();
    let scales = graph.nodes().iter().zip(half).filter(|(node, half)| **half && node.operator.is::<Mul>());
    scales
        .filter(|(node, _)| graph.fact(node.inputs[1]).shape.is_empty() && readers[&node.inputs[0]] == 1)
        .filter_map(|(node, _)| Some((node.inputs[0], (*products.get(&node.inputs[0])?).clone())))
        .collect()
}

/// Goes through the nodes in order of computation.
struct Finder<'a> {
    graph: &'a Graph,
    weights: BTreeSet<Wire>,
    constants: BTreeSet<Wire>,
    /// Wires that answers, not gradients, are computed from.
    forward: BTreeSet<Wire>,
    /// Wires that depend on the image.
    stream: BTreeSet<Wire>,
    /// Wires made in halves.
    half: BTreeSet<Wire>,
    /// Gates of activation functions made in halves.
    gates: BTreeSet<Wire>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph) -> Self {
        let named = [PIXELS, SAMPLES, HIDDEN, STATES].into_iter().filter_map(|name| graph.find_input(name));
        Self {
            graph,
            weights: graph.weights().map(|(_, wire)| wire).collect(),
            constants: graph.constants().iter().map(|(wire, _)| *wire).collect(),
            forward: forward(graph),
            stream: named.collect(),
            half: BTreeSet::new(),
            gates: BTreeSet::new(),
        }
    }

    /// Whether a node is in a span; the nodes before it were asked for.
    fn is_half(&mut self, node: &Node) -> bool {
        if node.inputs.iter().any(|wire| self.stream.contains(wire)) {
            self.stream.extend(&node.outputs);
        }
        let half = self.begins(node) || self.goes_on(node);
        if half {
            self.half.extend(&node.outputs);
            if node.operator.is::<Sigmoid>() {
                self.gates.extend(&node.outputs);
            }
        }
        half
    }

    /// Products with a frozen matrix, wherever they are, and of two activations.
    fn begins(&self, node: &Node) -> bool {
        let of_activations = || node.inputs.iter().all(|wire| self.stream.contains(wire));
        let is_forward = || node.outputs.iter().any(|wire| self.forward.contains(wire));
        let is_product = node.operator.is::<MatMul>();
        is_product && (frozen(self.graph, node).is_some() || of_activations() && is_forward())
    }

    /// What follows in a span: of what is in halves and of frozen numbers alone.
    fn goes_on(&self, node: &Node) -> bool {
        let frozen = |wire: &Wire| self.weights.contains(wire) || self.constants.contains(wire);
        let own = node.inputs.iter().filter(|wire| !frozen(wire));
        let within = own.clone().all(|wire| self.half.contains(wire) && self.stream.contains(wire));
        let is_forward = node.outputs.iter().any(|wire| self.forward.contains(wire));
        let fits = match own.count() {
            0 => false,
            1 => keeps_size(&*node.operator) || node.operator.is::<Add>() || node.operator.is::<Mul>(),
            _ => node.operator.is::<Mul>() && self.gates.contains(&node.inputs[1]),
        };
        within && is_forward && fits
    }
}

/// Whether an operator gives no larger numbers than it reads.
fn keeps_size(operator: &dyn Operator) -> bool {
    operator.is::<Reshape>()
        || operator.is::<SplitLast>()
        || operator.is::<JoinLast>()
        || operator.is::<Transpose>()
        || operator.is::<Softmax>()
        || operator.is::<Gelu>()
        || operator.is::<GeluTanh>()
        || operator.is::<Relu>()
        || operator.is::<Sigmoid>()
}

/// Wires that outputs other than gradients are computed from.
fn forward(graph: &Graph) -> BTreeSet<Wire> {
    let answers = graph.outputs().iter().filter(|(name, _)| !is_gradient(name));
    let mut found: BTreeSet<Wire> = answers.map(|&(_, wire)| wire).collect();
    for node in graph.nodes().iter().rev() {
        if node.outputs.iter().any(|wire| found.contains(wire)) {
            found.extend(&node.inputs);
        }
    }
    found
}
