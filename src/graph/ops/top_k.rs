//! The largest elements of a vector; appears where gates pay.

use super::check::exactly;
use crate::graph::{Constant, DType, Dim, Fact, Operator};

/// The `count` largest elements, in descending order, and where they are.
///
/// # Shapes
/// `[n]` to `[count]` and `I64[count]`.
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
        match x.shape[..] {
            [Dim::Fixed(size)] if size >= self.count => {
                let largest = Fact::fixed(&[self.count]);
                Ok(vec![largest.clone(), largest.of(DType::I64)])
            }
            _ => Err(format!("{x} has no {} elements", self.count)),
        }
    }

    fn names_all_outputs(&self) -> bool {
        true
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.count as i64])]
    }
}
