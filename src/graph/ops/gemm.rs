//! Product of two matrices, either of them transposed.

use super::ReduceSum;
use super::check::{exactly, no_gradient, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Error, Fact, Gradients, Graph, Node, Operator, Wire};

/// `y = op(a) op(b)`, with a bias added or none, where `op` transposes or leaves as it is. Nothing is copied to
/// transpose.
///
/// # Shapes
/// `[m, k]` by `[k, n]`, each after `op`, and a bias `[n]` give `[m, n]`.
#[derive(Debug)]
pub struct Gemm {
    /// Whether `a` is transposed.
    pub transpose_a: bool,
    /// Whether `b` is transposed.
    pub transpose_b: bool,
}

impl Operator for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [a, b] = exactly(inputs.get(..2).ok_or("expected 2 or 3 inputs")?)?;
        let [m, k] = matrix(a, self.transpose_a)?;
        let [k2, n] = matrix(b, self.transpose_b)?;
        if k != k2 {
            return Err(format!("inner dimensions {k} and {k2} differ"));
        }
        if inputs.len() > 3 || inputs.get(2).is_some_and(|bias| bias.shape[..] != [n]) {
            return Err(format!("the bias must be [{n}]"));
        }
        one(Fact::f32([m, n]))
    }

    fn attributes(&self) -> Vec<Attribute> {
        let flag = |name, set| Attribute::int(name, i64::from(set));
        vec![flag("transA", self.transpose_a), flag("transB", self.transpose_b)]
    }

    /// With `b` transposed: `da = dy b`, `db = dyᵀ a`, and the bias gets the sum of `dy` over rows.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        if self.transpose_a || !self.transpose_b {
            return Err(no_gradient(g, node, "it is a product of gradients"));
        }
        let n = |part: &str| format!("{}.grad.{part}", node.name);
        let mut found = vec![None; needed.len()];
        if needed[0] {
            let product = Gemm { transpose_a: false, transpose_b: false };
            found[0] = Some(g.wire(n("a"), product, &[grad, node.inputs[1]])?);
        }
        if needed[1] {
            let product = Gemm { transpose_a: true, transpose_b: false };
            found[1] = Some(g.wire(n("b"), product, &[grad, node.inputs[0]])?);
        }
        if needed.get(2) == Some(&true) {
            found[2] = Some(g.wire(n("bias"), ReduceSum { axes: vec![0], keep: false }, &[grad])?);
        }
        Ok(found)
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        let inner = inputs[0].shape.get(usize::from(!self.transpose_a))?;
        Some(output.shape.iter().chain([inner]).copied().collect())
    }
}

fn matrix(fact: &Fact, transposed: bool) -> Result<[Dim; 2], String> {
    match fact.shape[..] {
        [rows, columns] if transposed => Ok([columns, rows]),
        [rows, columns] => Ok([rows, columns]),
        _ => Err("expected matrices".into()),
    }
}
