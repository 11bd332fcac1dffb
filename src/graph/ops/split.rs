//! A vector cut into pieces.

use super::check::exactly;
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Dim, Fact, Operator};

/// Pieces of these sizes, in order.
///
/// # Shapes
/// `[n]` to `[size]` each; the sizes add up to n.
#[derive(Debug)]
pub struct Split {
    /// Elements of each piece.
    pub sizes: Vec<usize>,
}

impl Operator for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let total = self.sizes.iter().sum();
        if x.shape != [Dim::Fixed(total)] {
            return Err(format!("pieces of {total} elements do not make {x}"));
        }
        Ok(self.sizes.iter().map(|&size| Fact::fixed(&[size])).collect())
    }

    fn names_all_outputs(&self) -> bool {
        true
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(self.sizes.iter().map(|&size| size as i64).collect())]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", 0)]
    }
}
