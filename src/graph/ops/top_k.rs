//! The largest elements of an axis; appears where gates pay, and where weights are rounded to few bits.

use super::check::exactly;
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, DType, Dim, Fact, Operator};

/// The `count` largest elements of the last axis, in descending order, and where they are.
///
/// For one it does what `ReduceMax` does. ONNX Runtime's CUDA kernel of that one knows no operator set from 20 on.
///
/// # Shapes
/// `[.., n]` to `[.., count]` and `I64[.., count]`.
#[derive(Debug)]
pub struct TopK {
    /// How many.
    pub count: usize,
}

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let Some((Dim::Fixed(size), rest)) = x.shape.split_last().filter(|_| self.count > 0) else {
            return Err("expected at least one element of a known axis".into());
        };
        if *size < self.count {
            return Err(format!("{x} has no {} elements on its last axis", self.count));
        }
        let largest = Fact::f32([rest, &[Dim::Fixed(self.count)]].concat());
        Ok(vec![largest.clone(), largest.of(DType::I64)])
    }

    fn names_all_outputs(&self) -> bool {
        true
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.count as i64])]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1)]
    }
}
