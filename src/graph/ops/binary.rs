//! Element-wise addition, subtraction, multiplication and division with NumPy broadcasting.

use super::ReduceSum;
use super::check::{exactly, one};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = a + b`.
#[derive(Debug)]
pub struct Add;

/// `y = a − b`; appears in gradients.
#[derive(Debug)]
pub struct Sub;

/// `y = a · b`.
#[derive(Debug)]
pub struct Mul;

/// `y = a / b`; no gradient passes it.
#[derive(Debug)]
pub struct Div;

impl Operator for Add {
    fn name(&self) -> &'static str {
        "Add"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        broadcast(inputs)
    }

    /// `da = dy`, `db = dy`, each summed where it was broadcast.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let one = |(i, &need): (usize, &bool)| need.then(|| unbroadcast(g, node, grad, i)).transpose();
        needed.iter().enumerate().map(one).collect()
    }
}

impl Operator for Sub {
    fn name(&self) -> &'static str {
        "Sub"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        broadcast(inputs)
    }
}

impl Operator for Div {
    fn name(&self) -> &'static str {
        "Div"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        broadcast(inputs)
    }
}

impl Operator for Mul {
    fn name(&self) -> &'static str {
        "Mul"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        broadcast(inputs)
    }

    /// `da = dy · b`, `db = dy · a`, each summed where it was broadcast.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let mut one = |i: usize| {
            let product = g.wire(format!("{}.grad.{i}", node.name), Mul, &[grad, node.inputs[1 - i]])?;
            unbroadcast(g, node, product, i)
        };
        needed.iter().enumerate().map(|(i, &need)| need.then(|| one(i)).transpose()).collect()
    }
}

/// Sums `grad` over the axes along which input `i` of `node` was repeated.
fn unbroadcast(g: &mut Graph, node: &Node, grad: Wire, i: usize) -> Result<Wire, Error> {
    let (full, own) = (g.fact(grad).shape.clone(), g.fact(node.inputs[i]).shape.clone());
    let extra = full.len() - own.len();
    let repeated = |axis: &usize| own[axis - extra] == Dim::Fixed(1) && full[*axis] != Dim::Fixed(1);
    let axes: Vec<usize> = (extra..full.len()).filter(repeated).collect();
    let mut sum = grad;
    if !axes.is_empty() {
        sum = g.wire(format!("{}.grad.{i}.kept", node.name), ReduceSum { axes, keep: true }, &[sum])?;
    }
    if extra > 0 {
        let axes = (0..extra).collect();
        sum = g.wire(format!("{}.grad.{i}.summed", node.name), ReduceSum { axes, keep: false }, &[sum])?;
    }
    Ok(sum)
}

fn broadcast(inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
    let [a, b] = exactly(inputs)?;
    let rank = a.rank().max(b.rank());
    let at = |fact: &Fact, i: usize| match (i + fact.rank()).checked_sub(rank) {
        Some(axis) => fact.shape[axis],
        None => Dim::Fixed(1),
    };
    let dim = |i| match (at(a, i), at(b, i)) {
        (x, y) if x == y => Ok(x),
        (Dim::Fixed(1), y) => Ok(y),
        (x, Dim::Fixed(1)) => Ok(x),
        (x, y) => Err(format!("{x} and {y} do not broadcast")),
    };
    one(Fact::f32((0..rank).map(dim).collect::<Result<Vec<_>, _>>()?))
}
