//! Matrix product over the last two axes, with leading axes broadcast.

use super::check::{exactly, no_gradient, one};
use super::transpose::{exchanged, exchanged_from};
use super::{Flatten, Gemm, ReduceSum, Reshape};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = a b`.
///
/// # Shapes
/// `[.., m, k]` by `[k, n]` or `[.., k, n]`, a leading axis of which may be 1, gives `[.., m, n]`.
#[derive(Debug)]
pub struct MatMul;

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [a, b] = exactly(inputs)?;
        let ([.., m, k], [.., k2, n]) = (&a.shape[..], &b.shape[..]) else {
            return Err("expected matrices".into());
        };
        if k != k2 {
            return Err(format!("inner dimensions {k} and {k2} differ"));
        }
        let leading = &a.shape[..a.rank() - 2];
        let repeats = |(own, other): (&Dim, &Dim)| own == other || *own == Dim::Fixed(1);
        let fits = b.rank() == 2 || b.rank() == a.rank() && b.shape.iter().zip(leading).all(repeats);
        if !fits {
            return Err("leading dimensions differ".into());
        }
        if a.dtype != b.dtype {
            return Err("element types differ".into());
        }
        one(Fact::f32([leading, &[*m, *n]].concat()).of(a.dtype))
    }

    /// `da = dy bᵀ`, `db = aᵀ dy`, the latter summed over the rows that share `b`.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        if g.fact(node.inputs[1]).free_rank {
            return Err(no_gradient(g, node, "the right side may differ from row to row"));
        }
        let da = needed[0].then(|| left_gradient(g, node, grad)).transpose()?;
        let db = needed[1].then(|| right_gradient(g, node, grad)).transpose()?;
        Ok(vec![da, db])
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        let inner = inputs[0].shape.last()?;
        Some(output.shape.iter().chain([inner]).copied().collect())
    }
}

fn left_gradient(g: &mut Graph, node: &Node, grad: Wire) -> Result<Wire, Error> {
    let (a, b, name) = (node.inputs[0], node.inputs[1], format!("{}.grad.a", node.name));
    let b_shape = &g.fact(b).shape;
    let (rank, fixed) = (b_shape.len(), b_shape.iter().all(|dim| dim.fixed().is_some()));
    let is_known = g.fact(a).shape.iter().skip(1).all(|dim| dim.fixed().is_some());
    if rank == 2 && fixed && is_known && g.fact(grad).rank() > 2 {
        // A weight: one flat product that reads it as it lies.
        let rest = g.fact(a).shape.iter().skip(1).filter_map(|dim| dim.fixed()).collect();
        let flat = flatten(g, format!("{name}.rows"), grad)?;
        let product = Gemm { transpose_a: false, transpose_b: true };
        let product = g.wire(format!("{name}.flat"), product, &[flat, b])?;
        return g.wire(name, Reshape { rest }, &[product]);
    }
    let transposed = exchanged(g, format!("{name}.right"), b)?;
    g.wire(name, MatMul, &[grad, transposed])
}

fn right_gradient(g: &mut Graph, node: &Node, grad: Wire) -> Result<Wire, Error> {
    let (a, b, name) = (node.inputs[0], node.inputs[1], format!("{}.grad.b", node.name));
    if g.fact(b).rank() == 2 {
        let rows = flatten(g, format!("{name}.rows"), a)?;
        let grad = flatten(g, format!("{name}.grad"), grad)?;
        return summed(g, name, [rows, grad]);
    }
    if let Some(made_from) = exchanged_from(g, b) {
        // Whoever takes this gradient exchanges it back, and then nothing is moved at all.
        let transposed = exchanged(g, format!("{name}.right"), grad)?;
        let product = g.wire(format!("{name}.product"), MatMul, &[transposed, a])?;
        let own = g.fact(made_from).shape.clone();
        let product = shared(g, &name, product, &own)?;
        return exchanged(g, name, product);
    }
    let transposed = exchanged(g, format!("{name}.left"), a)?;
    let own = g.fact(b).shape.clone();
    if own[..own.len() - 2] == g.fact(a).shape[..own.len() - 2] {
        return g.wire(name, MatMul, &[transposed, grad]);
    }
    let product = g.wire(format!("{name}.product"), MatMul, &[transposed, grad])?;
    shared(g, &name, product, &own)
}

/// What each of the rows that share a right side of shape `own` gives, summed over them.
fn shared(g: &mut Graph, name: &str, product: Wire, own: &[Dim]) -> Result<Wire, Error> {
    let full = &g.fact(product).shape;
    let axes: Vec<usize> = (0..own.len().saturating_sub(2)).filter(|&axis| own[axis] != full[axis]).collect();
    match axes.is_empty() {
        true => Ok(product),
        false => g.wire(format!("{name}.shared"), ReduceSum { axes, keep: true }, &[product]),
    }
}

/// `aᵀ b` of `a [rows, m]` and `b [rows, n]`. The narrower of them is what is transposed on the way, since the kernel
/// copies it to do so: with adapters of 48 neurons on 384 channels the wider costs 11.6 ms a step, the narrower 8.3.
fn summed(g: &mut Graph, name: String, [a, b]: [Wire; 2]) -> Result<Wire, Error> {
    let product = Gemm { transpose_a: true, transpose_b: false };
    let open = |g: &Graph, wire| g.fact(wire).shape[1].fixed().is_none();
    if open(g, a) || !open(g, b) {
        return g.wire(name, product, &[a, b]);
    }
    let turned = g.wire(format!("{name}.turned"), product, &[b, a])?;
    exchanged(g, name, turned)
}

/// All axes but the last made one.
fn flatten(g: &mut Graph, name: String, x: Wire) -> Result<Wire, Error> {
    match g.fact(x).rank() {
        2 => Ok(x),
        rank => g.wire(name, Flatten { rank }, &[x]),
    }
}
