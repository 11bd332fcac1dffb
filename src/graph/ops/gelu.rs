//! GELU with the exact error function: `y = x Φ(x)`.

use super::{Operator, exactly, one};
use crate::graph::Fact;

/// `y = x · ½ (1 + erf(x / √2))` (Hendrycks and Gimpel 2016), as `torch.nn.GELU()`.
#[derive(Debug)]
pub struct Gelu;

impl Operator for Gelu {
    fn name(&self) -> &'static str {
        "Gelu"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }
}
