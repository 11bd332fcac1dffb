//! Graphs made from graphs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Graph, Node, Operator, Wire};
use crate::graph::{Error, Fact};

impl Graph {
    /// Makes inputs of the weights that `of` chooses, under the same names. Returns them.
    pub fn free(&mut self, of: impl Fn(&str) -> bool) -> BTreeMap<String, Wire> {
        let freed: BTreeMap<String, Wire> = self.weights.extract_if(.., |name, _| of(name)).collect();
        self.inputs.extend(freed.values());
        freed
    }

    /// Forgets what no output is computed from, inputs apart.
    pub(in crate::graph) fn pruned(mut self) -> Self {
        let mut read: BTreeSet<Wire> = self.outputs.iter().map(|&(_, wire)| wire).collect();
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.into_iter().rev() {
            if node.outputs.iter().any(|wire| read.contains(wire)) {
                read.extend(&node.inputs);
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.weights.retain(|_, wire| read.contains(wire));
        self.constants.retain(|(wire, _)| read.contains(wire));
        self
    }

    /// Hands each node to `rewrite`, which pushes it or wires something else that makes the same outputs; then forgets
    /// the weights and constants that nothing reads any more.
    pub(in crate::graph) fn rewrite(
        mut self,
        mut rewrite: impl FnMut(&mut Self, Node) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        for node in std::mem::take(&mut self.nodes) {
            rewrite(&mut self, node)?;
        }
        let read: BTreeSet<Wire> = self.nodes.iter().flat_map(|node| &node.inputs).copied().collect();
        self.weights.retain(|_, wire| read.contains(wire));
        self.constants.retain(|(wire, _)| read.contains(wire));
        Ok(self)
    }

    /// Asks of each input for a node that makes it in a run's place; without one it stays an input.
    pub(in crate::graph) fn supplied(
        mut self,
        mut of: impl FnMut(&mut Self, Wire) -> Result<Option<Node>, Error>,
    ) -> Result<Self, Error> {
        let nodes = std::mem::take(&mut self.nodes);
        for wire in std::mem::take(&mut self.inputs) {
            match of(&mut self, wire)? {
                Some(node) => self.nodes.push(node),
                None => self.inputs.push(wire),
            }
        }
        self.nodes.extend(nodes);
        Ok(self)
    }

    /// Takes away the outputs whose names `of` chooses, and returns their wires by name.
    pub(in crate::graph) fn take_outputs(&mut self, of: impl Fn(&str) -> bool) -> BTreeMap<String, Wire> {
        self.outputs.extract_if(.., |(name, _)| of(name)).collect()
    }

    /// Wires an operator whose only output is known to be of that fact.
    pub(in crate::graph) fn wire_as(
        &mut self,
        name: String,
        fact: Fact,
        (operator, inputs): (Arc<dyn Operator>, Vec<Wire>),
    ) -> Result<Wire, Error> {
        let made = self.add_wire(name.clone(), fact)?;
        self.nodes.push(Node { name, operator, inputs, outputs: vec![made] });
        Ok(made)
    }

    /// Adds a node whose wires are there already.
    pub(in crate::graph) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }
}
