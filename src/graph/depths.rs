//! The feature of a depth: what the pooling reads of the tokens that a block left, normed without learned numbers.
//!
//! ```text
//! p = pool(x)                       the class token, or the mean of the tokens that the backbone's pooling reads
//! z = (p − mean p) / √(var p + ε)   over the D numbers of p
//! ```
//! Sources: heads on the features of many layers, each brought to one size: Evci et al. 2022 (Head2Toe); the norm: Ba et
//! al. 2016. It has no scale and no shift, which a linear head behind it would absorb. So all depths of all families are of
//! one size, whatever their widths, and a penalty means the same for each of them.

use super::layers::Layers;
use super::ops::LayerNorm;
use super::{Constant, Error, Wire};

/// Added to the variance (ε): that of ViT's norms.
const EPSILON: f32 = 1e-6;

/// Wires the feature of a depth.
///
/// # Shapes
/// `[B, D]` to `[B, D]`.
pub(super) fn feature(layers: &mut Layers<'_>, depth: usize, pooled: Wire) -> Result<Wire, Error> {
    let d = layers.width(pooled);
    let mut all = |name: &str, value: f32| {
        let constant = || Constant::F32 { shape: vec![d], data: vec![value; d] };
        layers.g.shared_constant(&format!("depths.{name}.{d}"), constant)
    };
    let (ones, zeros) = (all("ones", 1.0)?, all("zeros", 0.0)?);
    layers.wire(&format!("depths.{depth}.norm"), LayerNorm { epsilon: EPSILON }, &[pooled, ones, zeros])
}
