//! The gradient of a convolution by its kernel.
//!
//! ```text
//! columns = unfold(x)                     [B, C · K², P]     what each of P positions sees
//! dK      = Σ_rows dy columnsᵀ            one group
//! dK_c    = Σ_rows columns_c dy_c         as many groups as channels
//! ```

use super::check::no_gradient;
use super::kernel::Conv;
use super::transpose::exchanged;
use super::{MatMul, ReduceSum, Reshape};
use crate::graph::{Constant, Error, Graph, Node, Wire};

/// Sizes of a convolution.
struct Sizes {
    channels: usize,
    out: usize,
    kernel: usize,
    positions: usize,
}

/// Wires the gradient of the kernel, given that of the output.
///
/// # Errors
/// [`Error::NoGradient`] for groups of several channels.
pub(super) fn kernel_gradient(g: &mut Graph, node: &Node, conv: Conv, grad: Wire) -> Result<Wire, Error> {
    let size = |g: &Graph, wire: Wire, axis: usize| g.fact(wire).shape[axis].fixed().unwrap_or(0);
    let sizes = Sizes {
        channels: size(g, node.inputs[0], 1),
        out: size(g, grad, 1),
        kernel: conv.kernel,
        positions: size(g, grad, 2) * size(g, grad, 3),
    };
    let columns = unfold(g, node, conv, sizes.channels)?;
    let product = match conv.groups {
        1 => whole(g, node, [columns, grad], &sizes)?,
        groups if groups == sizes.channels && groups == sizes.out => {
            by_channel(g, node, [columns, grad], &sizes)?
        }
        _ => return Err(no_gradient(g, node, "its groups have several channels")),
    };
    let sum = ReduceSum { axes: vec![0], keep: false };
    g.wire(format!("{}.grad.kernel", node.name), sum, &[product])
}

/// `[B, C, H, W]` to `[B, C · K², H', W']`: a convolution whose every kernel picks one pixel.
fn unfold(g: &mut Graph, node: &Node, conv: Conv, channels: usize) -> Result<Wire, Error> {
    let (k, area) = (conv.kernel, conv.kernel * conv.kernel);
    let picks = g.shared_constant(&format!("unfold.{channels}.{k}"), || {
        let pick = |i: usize| (0..area).map(move |j| if i % area == j { 1.0 } else { 0.0 });
        let data = (0..channels * area).flat_map(pick).collect();
        Constant::F32 { shape: vec![channels * area, 1, k, k], data }
    })?;
    let each = Conv { groups: channels, ..conv };
    g.wire(format!("{}.grad.columns", node.name), each, &[node.inputs[0], picks])
}

/// # Shapes
/// `columns [B, C · K², ..]`, `grad [B, O, ..]` to `[B, O, C, K, K]`.
fn whole(g: &mut Graph, node: &Node, [columns, grad]: [Wire; 2], sizes: &Sizes) -> Result<Wire, Error> {
    let Sizes { channels, out, kernel, positions } = *sizes;
    let n = |part: &str| format!("{}.grad.kernel.{part}", node.name);
    let flat = Reshape { rest: vec![channels * kernel * kernel, positions] };
    let columns = g.wire(n("flat"), flat, &[columns])?;
    let columns = exchanged(g, n("turned"), columns)?; // [B, P, C K²]
    let grad = g.wire(n("grad"), Reshape { rest: vec![out, positions] }, &[grad])?;
    let product = g.wire(n("product"), MatMul, &[grad, columns])?;
    g.wire(n("shaped"), Reshape { rest: vec![out, channels, kernel, kernel] }, &[product])
}

/// # Shapes
/// `columns [B, C · K², ..]`, `grad [B, C, ..]` to `[B, C, 1, K, K]`.
fn by_channel(g: &mut Graph, node: &Node, [columns, grad]: [Wire; 2], sizes: &Sizes) -> Result<Wire, Error> {
    let Sizes { channels, kernel, positions, .. } = *sizes;
    let n = |part: &str| format!("{}.grad.kernel.{part}", node.name);
    let flat = Reshape { rest: vec![channels, kernel * kernel, positions] };
    let columns = g.wire(n("flat"), flat, &[columns])?;
    let grad = g.wire(n("grad"), Reshape { rest: vec![channels, positions, 1] }, &[grad])?;
    let product = g.wire(n("product"), MatMul, &[columns, grad])?;
    g.wire(n("shaped"), Reshape { rest: vec![channels, 1, kernel, kernel] }, &[product])
}
