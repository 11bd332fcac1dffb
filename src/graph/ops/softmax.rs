//! Softmax over the last axis.

use super::{Operator, exactly, one};
use crate::graph::Fact;
use crate::graph::onnx::Attribute;

/// `yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)` over the last axis.
#[derive(Debug)]
pub struct Softmax;

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "Softmax"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1)]
    }
}
