//! The graph, its builder, and what an operator is: each is told by the others.

mod rewrite;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::onnx::Attribute;
use super::{Constant, Dim, Error, Fact};

/// Handle of a tensor in a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wire(pub(super) usize);

/// One operation of a graph.
pub trait Operator: Any + Debug + Send + Sync {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// The operator's domain in ONNX; empty for the standard one.
    fn domain(&self) -> &'static str {
        ""
    }

    /// Facts of the outputs, or the reason why the inputs do not fit.
    ///
    /// # Errors
    /// A phrase saying what was expected; the builder adds names and operands.
    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String>;

    /// ONNX attributes.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// Whether ONNX wants all outputs named, though nothing may read the last.
    fn names_all_outputs(&self) -> bool {
        false
    }

    /// Where each axis of the output comes from, for an operator that only moves axes.
    fn order(&self) -> Option<&[usize]> {
        None
    }

    /// Constant inputs that follow the wired ones (shapes, axes, bounds), given the wired ones' facts.
    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        Vec::new()
    }

    /// Wires the gradients of the inputs, given the gradient `grad` of the output: one entry for each of the
    /// node's inputs, `Some` at least where `needed`. New nodes are named after `node`.
    ///
    /// # Errors
    /// [`Error::NoGradient`] where none is defined: for inputs that are always frozen weights, and for
    /// operators that appear only before the first adapter or inside gradients.
    fn backward(
        &self,
        g: &mut Graph,
        node: &Node,
        _grad: Wire,
        _needed: &[bool],
    ) -> Result<Gradients, Error> {
        Err(no_gradient(g, node, "it has no gradient"))
    }

    /// The dimensions whose product is the number of multiply-adds, where the operator has any.
    fn multiply_adds(&self, _inputs: &[&Fact], _output: &Fact) -> Option<Vec<Dim>> {
        None
    }
}

impl dyn Operator {
    /// Whether it is a `T`.
    pub fn is<T: Operator>(&self) -> bool {
        (self as &dyn Any).is::<T>()
    }
}

/// A gradient that is not defined, and why.
pub(super) fn no_gradient(g: &Graph, node: &Node, reason: &'static str) -> Error {
    let (graph, operator) = (g.name().into(), node.operator.name());
    Error::NoGradient { graph, node: node.name.clone(), operator, reason }
}

/// Gradients of a node's inputs.
pub type Gradients = Vec<Option<Wire>>;

/// An operator with what it reads and writes.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique name; the first output bears it too.
    pub name: String,
    /// What it computes.
    pub operator: Arc<dyn Operator>,
    /// What it reads.
    pub inputs: Vec<Wire>,
    /// What it writes.
    pub outputs: Vec<Wire>,
}

#[derive(Clone, Debug)]
struct WireInfo {
    name: String,
    fact: Fact,
}

/// A graph under construction; complete whenever nothing fails.
///
/// ```
/// use mimi_server::graph::ops::Mul;
/// use mimi_server::graph::{Constant, Dim, Fact, Graph};
///
/// let mut g = Graph::new("twice");
/// let x = g.input("x", Fact::f32([Dim::Batch, Dim::Fixed(4)]))?;
/// let two = g.constant("two", Constant::scalar(2.0))?;
/// let y = g.wire("y", Mul, &[x, two])?;
/// g.output("y", y);
/// assert_eq!(g.fact(y), g.fact(x));
/// # Ok::<(), mimi_server::graph::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    name: String,
    wires: Vec<WireInfo>,
    names: BTreeSet<String>,
    nodes: Vec<Node>,
    inputs: Vec<Wire>,
    outputs: Vec<(String, Wire)>,
    weights: BTreeMap<String, Wire>,
    constants: Vec<(Wire, Constant)>,
}

impl Graph {
    /// Starts an empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Declares an input that every run must feed.
    ///
    /// # Errors
    /// [`Error::DuplicateName`].
    pub fn input(&mut self, name: impl Into<String>, fact: Fact) -> Result<Wire, Error> {
        let wire = self.add_wire(name.into(), fact)?;
        self.inputs.push(wire);
        Ok(wire)
    }

    /// The input of that name, where there is one.
    pub fn find_input(&self, name: &str) -> Option<Wire> {
        self.inputs.iter().copied().find(|&wire| self.wire_name(wire) == name)
    }

    /// Names a frozen weight of the backbone; asking twice gives the same wire.
    ///
    /// # Errors
    /// [`Error::DuplicateName`] when something else has the name.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Wire, Error> {
        self.weight_like(name, Fact::fixed(shape))
    }

    /// As [`Graph::weight`], of any dtype.
    pub(super) fn weight_like(&mut self, name: &str, fact: Fact) -> Result<Wire, Error> {
        if let Some(&wire) = self.weights.get(name) {
            return Ok(wire);
        }
        let wire = self.add_wire(name.to_owned(), fact)?;
        self.weights.insert(name.to_owned(), wire);
        Ok(wire)
    }

    /// Puts a small constant into the graph itself.
    ///
    /// # Errors
    /// [`Error::DuplicateName`].
    pub fn constant(&mut self, name: impl Into<String>, constant: Constant) -> Result<Wire, Error> {
        let wire = self.add_wire(name.into(), constant.fact())?;
        self.constants.push((wire, constant));
        Ok(wire)
    }

    /// A constant that several nodes read: made when it is first asked for, the same wire ever after.
    ///
    /// # Errors
    /// [`Error::DuplicateName`] when something else has the name.
    pub fn shared_constant(&mut self, name: &str, make: impl FnOnce() -> Constant) -> Result<Wire, Error> {
        match self.constants.iter().find(|(wire, _)| self.wire_name(*wire) == name) {
            Some(&(wire, _)) => Ok(wire),
            None => self.constant(name, make()),
        }
    }

    /// Wires an operator and returns its first output.
    ///
    /// # Errors
    /// [`Error::Wiring`] when the operator does not accept the inputs, [`Error::DuplicateName`].
    pub fn wire(
        &mut self,
        name: impl Into<String>,
        operator: impl Operator + 'static,
        inputs: &[Wire],
    ) -> Result<Wire, Error> {
        self.wire_all(name, operator, inputs).map(|outputs| outputs[0])
    }

    /// Wires an operator and returns all its outputs, of which there is at least one.
    ///
    /// # Errors
    /// As [`Graph::wire`].
    pub fn wire_all(
        &mut self,
        name: impl Into<String>,
        operator: impl Operator + 'static,
        inputs: &[Wire],
    ) -> Result<Vec<Wire>, Error> {
        let name = name.into();
        let facts: Vec<&Fact> = inputs.iter().map(|&wire| self.fact(wire)).collect();
        let made = operator.facts(&facts).map_err(|reason| Error::Wiring {
            graph: self.name.clone(),
            node: name.clone(),
            operator: operator.name(),
            reason,
            inputs: facts.iter().map(|f| f.to_string()).collect(),
        })?;
        let constants = operator.constants(&facts);
        let mut inputs = inputs.to_vec();
        for (i, constant) in constants.into_iter().enumerate() {
            inputs.push(self.constant(format!("{name}.constant{i}"), constant)?);
        }
        let mut outputs = Vec::with_capacity(made.len());
        for (i, fact) in made.into_iter().enumerate() {
            let wire_name = if i == 0 { name.clone() } else { format!("{name}.{i}") };
            outputs.push(self.add_wire(wire_name, fact)?);
        }
        let operator = Arc::new(operator);
        self.nodes.push(Node { name, operator, inputs, outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Makes a wire an output under `name`.
    pub fn output(&mut self, name: impl Into<String>, wire: Wire) {
        self.outputs.push((name.into(), wire));
    }

    /// Dtype and shape of a wire.
    pub fn fact(&self, wire: Wire) -> &Fact {
        &self.wires[wire.0].fact
    }

    /// The name of a wire.
    pub fn wire_name(&self, wire: Wire) -> &str {
        &self.wires[wire.0].name
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Nodes in order of computation.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Inputs in order of declaration.
    pub fn inputs(&self) -> &[Wire] {
        &self.inputs
    }

    /// Outputs in order of declaration.
    pub fn outputs(&self) -> &[(String, Wire)] {
        &self.outputs
    }

    /// Frozen weights the graph reads, by name.
    pub fn weights(&self) -> impl Iterator<Item = (&str, Wire)> {
        self.weights.iter().map(|(name, &wire)| (name.as_str(), wire))
    }

    /// Constants held by the graph itself.
    pub fn constants(&self) -> &[(Wire, Constant)] {
        &self.constants
    }

    /// The node that makes a wire; none for inputs, weights and constants.
    pub(super) fn maker(&self, wire: Wire) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| node.outputs.contains(&wire))
    }

    fn add_wire(&mut self, name: String, fact: Fact) -> Result<Wire, Error> {
        if !self.names.insert(name.clone()) {
            return Err(Error::DuplicateName { graph: self.name.clone(), name });
        }
        self.wires.push(WireInfo { name, fact });
        Ok(Wire(self.wires.len() - 1))
    }
}
