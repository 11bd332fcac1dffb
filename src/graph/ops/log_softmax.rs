//! Logarithm of softmax over the last axis; appears in losses.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;
use crate::graph::onnx::Attribute;

/// `yᵢ = xᵢ − log Σⱼ exp(xⱼ)` over the last axis.
#[derive(Debug)]
pub struct LogSoftmax;

impl Operator for LogSoftmax {
    fn name(&self) -> &'static str {
        "LogSoftmax"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1)]
    }
}
