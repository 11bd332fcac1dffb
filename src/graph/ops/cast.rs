//! From one floating-point type to another.

use super::check::{exactly, one};
use crate::graph::Operator;
use crate::graph::onnx::Attribute;
use crate::graph::{DType, Fact};

/// `y = x` in another type, rounded to the nearest where it is shorter.
#[derive(Debug)]
pub struct Cast {
    /// Type of the output.
    pub to: DType,
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone().of(self.to))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::dtype("to", self.to)]
    }
}
