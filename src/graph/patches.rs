//! Patches that do not overlap, embedded by one matrix product.
//!
//! ```text
//! token = W · patch + b,      W [D, 3 p²],  a patch's pixels in the order (channel, row, column)
//! ```
//! A convolution whose stride is its kernel's side, which is how the weight is stored. A product instead: on a
//! GPU ONNX Runtime plans a convolution again at each change of the number of rows, which may cost more than the run.
//! The order of a patch's pixels is the stored kernel's, so that the weight is read where it lies, as a matrix.

use super::layers::Layers;
use super::ops::{Flatten, Gemm, Reshape, Transpose};
use super::{Error, Graph, Wire};
use crate::backbone::{TensorEntry, WeightLayout};

/// How an image is cut, and what becomes of each part.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    /// Pixels along a side of the image, a multiple of a patch's.
    pub image: usize,
    /// Pixels along a side of a patch (p).
    pub side: usize,
    /// Width of a token (D).
    pub width: usize,
}

impl Patches {
    /// Wires the tokens of an image's patches, row by row. `inputs` are the pixels, the weight as a matrix, and a bias
    /// if there is one; nodes are named under `scope`.
    ///
    /// # Shapes
    /// `pixels [B, 3, S, S]`, `weight [D, 3 p²]`, `bias [D]`, the result `[B, (S/p)², D]`.
    ///
    /// # Errors
    /// When the inputs do not have these shapes.
    pub fn embed(self, g: &mut Graph, scope: &str, inputs: &[Wire]) -> Result<Wire, Error> {
        let Self { image, side: p, width } = self;
        let (grid, n) = (image / p, |part: &str| format!("{scope}.{part}"));
        let cut = Reshape { rest: vec![3, grid, p, grid, p] };
        let cut = g.wire(n("cut"), cut, &inputs[..inputs.len().min(1)])?;
        let gathered = g.wire(n("gathered"), Transpose { order: vec![0, 2, 4, 1, 3, 5] }, &[cut])?; // [B, G, G, 3, p, p]
        let patches = g.wire(n("patches"), Reshape { rest: vec![grid * grid, 3 * p * p] }, &[gathered])?;
        let rows = g.wire(n("rows"), Flatten { rank: 3 }, &[patches])?; // [B n, 3 p²]
        let factors: Vec<Wire> = [rows].into_iter().chain(inputs.iter().skip(1).copied()).collect();
        let product = g.wire(n("proj"), Gemm { transpose_a: false, transpose_b: true }, &factors)?; // [B n, D]
        g.wire(n("tokens"), Reshape { rest: vec![grid * grid, width] }, &[product])
    }
}

impl Layers<'_> {
    /// As [`Patches::embed`], with the weights of the scope.
    pub(super) fn patches(&mut self, pixels: Wire, bias: bool, patches: Patches) -> Result<Wire, Error> {
        let Patches { side, width, .. } = patches;
        let mut inputs = vec![pixels, self.weight("proj.weight", &[width, 3 * side * side])?];
        if bias {
            inputs.push(self.weight("proj.bias", &[width])?);
        }
        patches.embed(self.g, &self.scope, &inputs)
    }
}

/// Gives stored kernels the shape in which a graph reads them, where it reads them as matrices: all axes but the first
/// as one.
pub fn as_read(graph: &Graph, layout: &mut WeightLayout) {
    for (name, wire) in graph.weights() {
        let shape: Option<Vec<usize>> = graph.fact(wire).shape.iter().map(|dim| dim.fixed()).collect();
        let (Some(shape), Some(entry)) = (shape, layout.get(name)) else { continue };
        if let ([rows, columns], [first, rest @ ..]) = (&shape[..], &entry.shape[..])
            && rows == first
            && *columns == rest.iter().product::<usize>()
        {
            let entry = TensorEntry { shape, ..entry.clone() };
            layout.insert(name, entry);
        }
    }
}
