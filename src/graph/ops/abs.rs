//! The size of a number; appears where gates pay, and where weights are rounded to few bits.

use super::check::{exactly, one};
use crate::graph::{Fact, Operator};

/// `y = |x|`.
#[derive(Debug)]
pub struct Abs;

impl Operator for Abs {
    fn name(&self) -> &'static str {
        "Abs"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
