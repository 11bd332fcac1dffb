//! The square root; appears in updates.

use super::check::{exactly, one};
use crate::graph::{Fact, Operator};

/// `y = √x`.
#[derive(Debug)]
pub struct Sqrt;

impl Operator for Sqrt {
    fn name(&self) -> &'static str {
        "Sqrt"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
