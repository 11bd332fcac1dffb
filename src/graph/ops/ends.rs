//! An axis that begins with as many positions as a run likes (a prefix) and ends with a known number (the tokens): either
//! part of it. [`Concat`] puts them together.

use super::check::{exactly, one};
use super::{Concat, Mul};
use crate::graph::{Constant, Dim, Error, Fact, Gradients, Graph, Node, Operator, Wire};

/// What begins the axis: all but the known positions.
///
/// # Shapes
/// `[.., R + N, ..]` to `[.., R, ..]`.
#[derive(Debug)]
pub struct Leading {
    /// The axis.
    pub axis: usize,
}

/// What ends the axis: the known positions.
///
/// # Shapes
/// `[.., R + N, ..]` to `[.., N, ..]`.
#[derive(Debug)]
pub struct Trailing {
    /// The axis.
    pub axis: usize,
}

impl Operator for Leading {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let (module, _) = joined(x, self.axis)?;
        one(resized(x, self.axis, Dim::Width(module)))
    }

    fn constants(&self, inputs: &[&Fact]) -> Vec<Constant> {
        bounds(0, -known(inputs, self.axis), self.axis)
    }

    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let rest =
            g.wire(format!("{}.grad.rest", node.name), Trailing { axis: self.axis }, &node.inputs[..1])?;
        let zeros = nothing(g, node, rest)?;
        whole(g, node, needed, self.axis, [grad, zeros])
    }
}

impl Operator for Trailing {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let (_, known) = joined(x, self.axis)?;
        one(resized(x, self.axis, Dim::Fixed(known)))
    }

    fn constants(&self, inputs: &[&Fact]) -> Vec<Constant> {
        bounds(-known(inputs, self.axis), i64::MAX, self.axis)
    }

    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let rest =
            g.wire(format!("{}.grad.rest", node.name), Leading { axis: self.axis }, &node.inputs[..1])?;
        let zeros = nothing(g, node, rest)?;
        whole(g, node, needed, self.axis, [zeros, grad])
    }
}

fn joined(x: &Fact, axis: usize) -> Result<(crate::backbone::Module, usize), String> {
    match x.shape.get(axis) {
        Some(&Dim::Joined(module, known)) => Ok((module, known)),
        _ => Err(format!("axis {axis} of {x} is not joined of two parts")),
    }
}

fn known(inputs: &[&Fact], axis: usize) -> i64 {
    inputs.first().and_then(|x| joined(x, axis).ok()).map_or(0, |(_, known)| known as i64)
}

fn resized(x: &Fact, axis: usize, dim: Dim) -> Fact {
    let mut shape = x.shape.clone();
    shape[axis] = dim;
    Fact::f32(shape)
}

fn bounds(start: i64, end: i64, axis: usize) -> Vec<Constant> {
    [start, end, axis as i64].map(|n| Constant::I64(vec![n])).into()
}

/// As many zeros as `like` has elements: how many is known only in a run.
fn nothing(g: &mut Graph, node: &Node, like: Wire) -> Result<Wire, Error> {
    let zero = g.shared_constant("zero", || Constant::scalar(0.0))?;
    g.wire(format!("{}.grad.zeros", node.name), Mul, &[like, zero])
}

fn whole(
    g: &mut Graph,
    node: &Node,
    needed: &[bool],
    axis: usize,
    parts: [Wire; 2],
) -> Result<Gradients, Error> {
    let dx = g.wire(format!("{}.grad", node.name), Concat { axis }, &parts)?;
    Ok([Some(dx)].into_iter().chain(needed[1..].iter().map(|_| None)).collect())
}
