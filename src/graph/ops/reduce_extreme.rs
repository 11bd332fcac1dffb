//! The largest and the smallest element along an axis; they appear where activations are quantised.

use super::{Constant, Operator, exactly, one, reduced};
use crate::graph::Fact;

/// Largest element along `axis`, which stays with size 1.
#[derive(Debug)]
pub struct ReduceMax {
    /// The axis.
    pub axis: usize,
}

/// Smallest element along `axis`, which stays with size 1.
#[derive(Debug)]
pub struct ReduceMin {
    /// The axis.
    pub axis: usize,
}

impl Operator for ReduceMax {
    fn name(&self) -> &'static str {
        "ReduceMax"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(reduced(x, &[self.axis], true)?)
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }
}

impl Operator for ReduceMin {
    fn name(&self) -> &'static str {
        "ReduceMin"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(reduced(x, &[self.axis], true)?)
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }
}
