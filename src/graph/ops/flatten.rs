//! All axes but the last made one; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Operator;
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Fact};

/// `[B, n.., k]` as `[B·n, k]`.
#[derive(Debug)]
pub struct Flatten {
    /// Number of axes of the input.
    pub rank: usize,
}

impl Operator for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let [Dim::Batch, middle @ .., last] = &x.shape[..] else {
            return Err("expected the batch first".into());
        };
        let rows: Option<usize> = middle.iter().map(|dim| dim.fixed()).product();
        let rows = rows.ok_or("only the batch and the last axis may be open")?;
        if x.rank() != self.rank {
            return Err(format!("expected {} axes", self.rank));
        }
        one(Fact::f32([Dim::Rows(rows), *last]))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", self.rank as i64 - 1)]
    }
}
