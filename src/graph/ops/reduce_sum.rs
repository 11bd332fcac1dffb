//! Sum over axes; appears in losses and gradients.

use super::check::{exactly, one, reduced};
use crate::graph::Fact;
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Operator};

/// Sum over `axes`, which disappear or, if `keep`, become 1.
#[derive(Debug)]
pub struct ReduceSum {
    /// The axes.
    pub axes: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep: bool,
}

impl Operator for ReduceSum {
    fn name(&self) -> &'static str {
        "ReduceSum"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(reduced(x, &self.axes, self.keep)?)
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(self.axes.iter().map(|&axis| axis as i64).collect())]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("keepdims", i64::from(self.keep))]
    }
}
