//! How this processor rounds, found out by asking its kernels.
//!
//! ONNX Runtime chooses kernels by what the processor has. They add in different orders, so that results may differ in
//! the last bits; which do is not told by a processor's name. Here the operators of a training step run on fixed numbers,
//! and the bits of what they give are the answer: where they are equal, records may be continued.

use ort::value::TensorRef;

use super::{Error, Runtime};
use crate::backbone::{Precision, WeightLayout, sha256_hex};
use crate::graph::ops::{Conv, Gelu, LayerNorm, MatMul, Reshape, Softmax};
use crate::graph::{Constant, Dim, Fact, Graph, onnx};

/// Rows of the probe: enough that several are computed together, and some are left over.
const ROWS: usize = 7;
/// Channels and side of an image of the probe.
const IMAGE: [usize; 3] = [3, 16, 16];
/// Side of a patch.
const PATCH: usize = 8;
/// Channels of a patch's embedding: not a multiple of a kernel's block.
const WIDTH: usize = 37;
/// Columns of the product.
const COLUMNS: usize = 21;

/// A digest of results whose last bits depend on the processor's kernels. Equal digests mean equal rounding.
///
/// # Errors
/// [`Error::Call`] when ONNX Runtime refuses the probe.
pub fn rounding(runtime: &Runtime) -> Result<String, Error> {
    let action = "find out how the processor rounds";
    let model = onnx::write(&probe()?, &WeightLayout::default())?;
    let mut session =
        runtime.session(Precision::Fp32)?.commit_from_memory(&model).map_err(Error::call(action))?;
    let [channels, height, width] = IMAGE;
    let values = numbers(ROWS * channels * height * width);
    let shape = vec![ROWS, channels, height, width];
    let x = TensorRef::from_array_view((shape, values.as_slice())).map_err(Error::call(action))?;
    let results = session.run(ort::inputs!["x" => x]).map_err(Error::call(action))?;
    let mut bytes = Vec::new();
    for name in OUTPUTS {
        let missing = || Error::Call { action: action.into(), reason: format!("no output {name}") };
        let value = results.get(name).ok_or_else(missing)?;
        let (_, data) = value.try_extract_tensor::<f32>().map_err(Error::call(action))?;
        bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    }
    Ok(sha256_hex(&bytes)[..16].to_owned())
}

/// What the probe gives.
const OUTPUTS: [&str; 5] = ["patches", "normed", "product", "gelu", "softmax"];

/// The operators that sum or approximate, each after the other.
fn probe() -> Result<Graph, Error> {
    let mut g = Graph::new("rounding");
    let image = IMAGE.map(Dim::Fixed);
    let x = g.input("x", Fact::f32([Dim::Batch].into_iter().chain(image).collect::<Vec<_>>()))?;
    let constant = |g: &mut Graph, name: &str, shape: &[usize]| {
        let data = numbers(shape.iter().product());
        g.constant(name, Constant::F32 { shape: shape.to_vec(), data })
    };
    let patch = constant(&mut g, "patch", &[WIDTH, IMAGE[0], PATCH, PATCH])?;
    let bias = constant(&mut g, "bias", &[WIDTH])?;
    let conv = Conv { kernel: PATCH, stride: PATCH, padding: 0, groups: 1 };
    let patches = g.wire("patches", conv, &[x, patch, bias])?;
    let size = WIDTH * (IMAGE[1] / PATCH) * (IMAGE[2] / PATCH);
    let tokens = g.wire("tokens", Reshape { rest: vec![size] }, &[patches])?;
    let scale = constant(&mut g, "scale", &[size])?;
    let shift = constant(&mut g, "shift", &[size])?;
    let normed = g.wire("normed", LayerNorm { epsilon: 1e-6 }, &[tokens, scale, shift])?;
    let matrix = constant(&mut g, "matrix", &[size, COLUMNS])?;
    let product = g.wire("product", MatMul, &[normed, matrix])?;
    let gelu = g.wire("gelu", Gelu, &[product])?;
    let softmax = g.wire("softmax", Softmax, &[gelu])?;
    for (name, wire) in OUTPUTS.into_iter().zip([patches, normed, product, gelu, softmax]) {
        g.output(name, wire);
    }
    Ok(g)
}

/// Numbers between −1 and 1 with all their digits, the same everywhere (a linear congruential generator).
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
