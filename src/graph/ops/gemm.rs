//! Product of two matrices, either of them transposed; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Operator;
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Fact};

/// `y = op(a) op(b)`, where `op` transposes or leaves as it is. Nothing is copied to transpose.
///
/// # Shapes
/// `[m, k]` by `[k, n]`, each after `op`, gives `[m, n]`.
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
        let [a, b] = exactly(inputs)?;
        let [m, k] = matrix(a, self.transpose_a)?;
        let [k2, n] = matrix(b, self.transpose_b)?;
        if k != k2 {
            return Err(format!("inner dimensions {k} and {k2} differ"));
        }
        one(Fact::f32([m, n]))
    }

    fn attributes(&self) -> Vec<Attribute> {
        let flag = |name, set| Attribute::int(name, i64::from(set));
        vec![flag("transA", self.transpose_a), flag("transB", self.transpose_b)]
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
