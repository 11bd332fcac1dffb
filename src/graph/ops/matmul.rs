//! Matrix product over the last two axes, with leading axes broadcast.

use super::{Operator, exactly, one};
use crate::graph::{Dim, Fact};

/// `y = a b`.
///
/// # Shapes
/// `[.., m, k]` by `[k, n]` or `[.., k, n]` gives `[.., m, n]`.
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
        if b.rank() > 2 && b.shape[..b.rank() - 2] != *leading {
            return Err("leading dimensions differ".into());
        }
        one(Fact::f32([leading, &[*m, *n]].concat()))
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        let inner = inputs[0].shape.last()?;
        Some(output.shape.iter().chain([inner]).copied().collect())
    }
}
