//! From floats to unsigned bytes.

use super::check::{exactly, one};
use crate::graph::Operator;
use crate::graph::{DType, Fact};

/// `q = clamp(round(x / s) + z, 0, 255)`, halves rounded to even, with one scale `s` and one zero point `z`.
///
/// # Shapes
/// `x` of any shape, scalars `s` and `z` (a byte); `q` bytes of the shape of `x`.
#[derive(Debug)]
pub struct QuantizeLinear;

impl Operator for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, scale, zero] = exactly(inputs)?;
        if scale.rank() != 0 || zero.rank() != 0 || zero.dtype != DType::U8 {
            return Err("expected a scalar scale and a byte as zero point".into());
        }
        one(x.clone().of(DType::U8))
    }
}
