//! Element-wise addition and multiplication with NumPy broadcasting.

use super::{Operator, exactly, one};
use crate::graph::{Dim, Fact};

/// `y = a + b`.
#[derive(Debug)]
pub struct Add;

/// `y = a · b`.
#[derive(Debug)]
pub struct Mul;

impl Operator for Add {
    fn name(&self) -> &'static str {
        "Add"
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
