//! Products with frozen matrices in 16-bit floats.
//!
//! ```text
//! y = float( half(x) · half(w) )
//! ```
//! What PyTorch's autocast does for these products. Everything between them stays fp32, so that only a product's own
//! result must fit into a half (65,504 at most), never a sum of many blocks.
//!
//! Only the forward products change, as in [`quantise`](super::quantise): backward ones keep the fp32 matrices, and
//! gradients, which would need scaling to fit into a half, stay floats.

use std::sync::Arc;

use super::ops::{Cast, MatMul};
use super::quantise::with_products;
use super::{DType, Derived, Error, Fact, Graph, Node, Wire};

/// The same graph with 16-bit floats in its products with frozen matrices.
///
/// # Errors
/// [`Error::DuplicateName`] when the graph is halved already.
pub fn halved(graph: &Graph) -> Result<Graph, Error> {
    let half = |g: &mut Graph, x: Wire| {
        let name = format!("{}.fp16", g.wire_name(x));
        g.wire(name, Cast { to: DType::F16 }, &[x])
    };
    with_products(graph, half, |g, node, half, (weight, shape)| {
        let matrix = g.weight_like(&Derived::Half.name(weight), Fact::fixed(&shape).of(DType::F16))?;
        let product = g.wire(format!("{}.fp16", node.name), MatMul, &[half, matrix])?;
        // The product's own wire, so that whoever read it reads this.
        g.push(Node { operator: Arc::new(Cast { to: DType::F32 }), inputs: vec![product], ..node });
        Ok(())
    })
}
