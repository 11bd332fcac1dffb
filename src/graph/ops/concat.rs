//! Joining along one axis, and the two parts of an axis that begins with as many positions as a run likes (a prefix) and ends
//! with a known number (the tokens).

use super::check::{exactly, one};
use super::{Mul, Slice};
use crate::backbone::Module;
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// Joins its inputs along `axis`; every other dimension agrees. Of two inputs the first may be as long as a module is wide.
#[derive(Debug)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let first = inputs.first().ok_or("expected an input")?;
        for fact in inputs {
            let same_elsewhere = fact.rank() == first.rank()
                && (0..fact.rank()).all(|i| i == self.axis || fact.shape[i] == first.shape[i]);
            if !same_elsewhere {
                return Err(format!("shapes must agree except on axis {}", self.axis));
            }
        }
        let dims: Vec<Dim> = inputs.iter().filter_map(|fact| fact.shape.get(self.axis).copied()).collect();
        let mut shape = first.shape.clone();
        *shape.get_mut(self.axis).ok_or_else(|| format!("there is no axis {}", self.axis))? = sum(&dims)?;
        one(Fact::f32(shape))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", self.axis as i64)]
    }

    /// Each input gets its own run of positions back.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let axis = self.axis;
        if let Dim::Joined(..) = g.fact(grad).shape[axis] {
            let lead = g.wire(format!("{}.grad.0", node.name), Leading { axis }, &[grad])?;
            let trail = g.wire(format!("{}.grad.1", node.name), Trailing { axis }, &[grad])?;
            return Ok(vec![Some(lead), Some(trail)]);
        }
        let mut start = 0;
        let mut gradients = Vec::new();
        for (i, (&input, &need)) in node.inputs.iter().zip(needed).enumerate() {
            let size = g.fact(input).shape[self.axis].fixed().unwrap_or_default();
            let own = Slice { axis: self.axis, start, end: start + size };
            start += size;
            let name = format!("{}.grad.{i}", node.name);
            gradients.push(need.then(|| g.wire(name, own, &[grad])).transpose()?);
        }
        Ok(gradients)
    }
}

/// The axis that parts of these sizes make.
fn sum(dims: &[Dim]) -> Result<Dim, String> {
    if let [Dim::Width(module), Dim::Fixed(known)] = dims {
        return Ok(Dim::Joined(*module, *known));
    }
    let known: Option<usize> = dims.iter().map(|dim| dim.fixed()).sum();
    known.map(Dim::Fixed).ok_or_else(|| "the joined axis must be known".into())
}

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

fn joined(x: &Fact, axis: usize) -> Result<(Module, usize), String> {
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
