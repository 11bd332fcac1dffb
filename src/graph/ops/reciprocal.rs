//! The reciprocal; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = 1 / x`.
#[derive(Debug)]
pub struct Reciprocal;

impl Operator for Reciprocal {
    fn name(&self) -> &'static str {
        "Reciprocal"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
