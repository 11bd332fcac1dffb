//! The logistic function.

use super::{Operator, exactly, one};
use crate::graph::Fact;

/// `y = 1 / (1 + exp(−x))`.
#[derive(Debug)]
pub struct Sigmoid;

impl Operator for Sigmoid {
    fn name(&self) -> &'static str {
        "Sigmoid"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
