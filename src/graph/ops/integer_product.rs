//! Product of quantised activations with a quantised matrix.

use super::{Operator, exactly, one};
use crate::graph::{DType, Dim, Fact};

/// `y = ((q − z) w) · s · t`, summed exactly in 32-bit integers. Unsigned by signed bytes is what VNNI instructions
/// multiply; both signed, ONNX Runtime has no fast kernel on x86 (ten times slower, measured).
///
/// # Shapes
/// Inputs `q [.., K]` unsigned bytes, `w [K, N]` signed bytes, a scalar `s`, `t [N]` and a byte `z`; the output
/// `[.., N]`.
#[derive(Debug)]
pub struct IntegerProduct;

impl Operator for IntegerProduct {
    fn name(&self) -> &'static str {
        "MatMulIntegerToFloat"
    }

    fn domain(&self) -> &'static str {
        "com.microsoft"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [q, w, _, scales, zero] = exactly(inputs)?;
        if [q.dtype, w.dtype, zero.dtype] != [DType::U8, DType::I8, DType::U8] {
            return Err("expected unsigned by signed bytes".into());
        }
        let ([leading @ .., k], [k2, n]) = (&q.shape[..], &w.shape[..]) else {
            return Err("expected matrices".into());
        };
        if k != k2 || scales.shape != [*n] {
            return Err("inner dimensions, or columns and scales, differ".into());
        }
        one(Fact::f32([leading, &[*n]].concat()))
    }

    fn multiply_adds(&self, inputs: &[&Fact], output: &Fact) -> Option<Vec<Dim>> {
        let inner = inputs[0].shape.last()?;
        Some(output.shape.iter().chain([inner]).copied().collect())
    }
}
