//! The largest or the smallest element along an axis; it appears where activations are quantised.

use super::check::{exactly, one, reduced};
use crate::graph::Fact;
use crate::graph::{Constant, Operator};

/// Which end of an axis' elements.
#[derive(Clone, Copy, Debug)]
pub enum Extreme {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// Extreme element along `axis`, which stays with size 1.
#[derive(Debug)]
pub struct ReduceExtreme {
    /// Which.
    pub extreme: Extreme,
    /// The axis.
    pub axis: usize,
}

impl Operator for ReduceExtreme {
    fn name(&self) -> &'static str {
        match self.extreme {
            Extreme::Max => "ReduceMax",
            Extreme::Min => "ReduceMin",
        }
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(reduced(x, &[self.axis], true)?)
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }
}
