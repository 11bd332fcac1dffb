//! Entries of a tensor by number.

use super::check::{exactly, one};
use crate::graph::onnx::Attribute;
use crate::graph::{DType, Fact, Operator};

/// `y[i] = x[slots[i]]` along the first axis.
///
/// # Shapes
/// `x [P, ..]`, `slots [B]`, `y [B, ..]`.
#[derive(Debug)]
pub struct Gather;

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, slots] = exactly(inputs)?;
        if slots.dtype != DType::I64 || slots.rank() != 1 {
            return Err("expected numbers of entries, I64[B]".into());
        }
        let Some(rest) = x.shape.get(1..) else {
            return Err("expected an axis of entries".into());
        };
        one(Fact { shape: [&slots.shape[..], rest].concat(), ..(*x).clone() })
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", 0)]
    }
}
