//! The error function; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = 2/√π ∫₀ˣ exp(−t²) dt`.
#[derive(Debug)]
pub struct Erf;

impl Operator for Erf {
    fn name(&self) -> &'static str {
        "Erf"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
