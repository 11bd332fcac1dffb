//! Layer normalisation over the last axis.

use super::{Operator, exactly, one};
use crate::graph::Fact;
use crate::graph::onnx::Attribute;

/// `y = (x − μ) / √(σ² + ε) · γ + β` over the last axis (Ba et al. 2016).
///
/// # Shapes
/// Inputs `x [.., D]`, `γ [D]`, `β [D]`.
#[derive(Debug)]
pub struct LayerNorm {
    /// Added to the variance (ε).
    pub epsilon: f32,
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x, scale, bias] = exactly(inputs)?;
        let width = x.shape.last().ok_or("expected a tensor with an axis")?;
        if scale.shape[..] != [*width] || bias.shape[..] != [*width] {
            return Err(format!("scale and bias must be [{width}]"));
        }
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1), Attribute::float("epsilon", self.epsilon)]
    }
}
