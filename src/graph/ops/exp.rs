//! The exponential; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = eˣ`.
#[derive(Debug)]
pub struct Exp;

impl Operator for Exp {
    fn name(&self) -> &'static str {
        "Exp"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
