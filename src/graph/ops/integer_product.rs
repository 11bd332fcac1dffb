//! Product of quantised activations with a quantised matrix.

use super::check::one;
use crate::graph::Operator;
use crate::graph::{DType, Dim, Fact};

/// `y = ((q − z) (w − v)) · s · t`, the sums in 32-bit integers. Unsigned by signed bytes is what VNNI instructions
/// multiply. Without them ONNX Runtime adds pairs of such products in 16 bits, which saturate, and pairs of unsigned by
/// unsigned ones in 32. Both signed, it has no fast kernel on x86 (ten times slower, measured).
///
/// # Shapes
/// Inputs `q [.., K]` unsigned bytes, `w [K, N]` bytes, a scalar `s`, `t [N]`, a byte `z` and, where the bytes of `w`
/// are unsigned, a byte `v`; the output `[.., N]`.
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
        let (&[q, w, _, scales, zero], weight_zero) =
            inputs.split_first_chunk().ok_or("expected 5 or 6 inputs")?;
        let expected = match weight_zero {
            [] => DType::I8,
            [zero] if zero.dtype == DType::U8 => DType::U8,
            _ => return Err("expected one byte as zero point of the matrix".into()),
        };
        if [q.dtype, w.dtype, zero.dtype] != [DType::U8, expected, DType::U8] {
            return Err("expected unsigned by signed bytes, or by unsigned ones with a zero point".into());
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
