//! The sign; appears in the gradient of the rectifier.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = −1`, 0 or 1.
#[derive(Debug)]
pub struct Sign;

impl Operator for Sign {
    fn name(&self) -> &'static str {
        "Sign"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
