//! The nearest whole number; appears where weights are rounded to few bits.

use super::check::{exactly, one};
use crate::graph::{Fact, Operator};

/// `y = round(x)`, halves to the even neighbour.
#[derive(Debug)]
pub struct Round;

impl Operator for Round {
    fn name(&self) -> &'static str {
        "Round"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
