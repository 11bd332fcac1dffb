//! The opposite; appears in losses.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = −x`.
#[derive(Debug)]
pub struct Neg;

impl Operator for Neg {
    fn name(&self) -> &'static str {
        "Neg"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
