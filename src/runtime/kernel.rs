//! Which of ONNX Runtime's 8-bit kernels sums exactly on this processor, found out by asking it.

use ort::value::TensorRef;

use super::{Error, Runtime};
use crate::backbone::{Precision, WeightLayout};
use crate::graph::ops::{IntegerProduct, QuantizeLinear};
use crate::graph::{Bytes, Constant, Dim, Fact, Graph, WeightRange, ZERO, onnx};

/// Integers to multiply.
#[derive(Clone, Copy, Debug)]
pub struct Factors<'a> {
    /// Activations `[M, K]`, row-major.
    pub activations: &'a [u8],
    /// What stands for zero among them.
    pub zero: u8,
    /// A matrix `[K, N]`, row-major.
    pub matrix: &'a [i8],
    /// `M, K, N`.
    pub shape: [usize; 3],
}

impl Factors<'_> {
    /// `Σ_k (x_mk − z) w_kn`, `[M, N]`.
    fn sums(&self) -> Vec<f32> {
        let [_, k, n] = self.shape;
        let rows = self.activations.chunks_exact(k);
        let sum = |row: &[u8], column: usize| -> i32 {
            let product = |(at, &x): (usize, &u8)| {
                (i32::from(x) - i32::from(self.zero)) * i32::from(self.matrix[at * n + column])
            };
            row.iter().enumerate().map(product).sum()
        };
        rows.flat_map(|row| (0..n).map(move |column| sum(row, column) as f32)).collect()
    }
}

/// The same sums as the kernel for matrices of such `bytes` gives them. A float holds them exactly while `K` is at most
/// 512.
///
/// # Errors
/// [`Error::Call`] when ONNX Runtime refuses the product.
pub fn integer_sums(runtime: &Runtime, factors: &Factors<'_>, bytes: Bytes) -> Result<Vec<f32>, Error> {
    let action = "multiply integers";
    let model = onnx::write(&product(factors, bytes)?, &WeightLayout::default())?;
    let mut session =
        runtime.session(Precision::Fp32)?.commit_from_memory(&model).map_err(Error::call(action))?;
    let x: Vec<f32> = factors.activations.iter().map(|&x| f32::from(x)).collect();
    let [rows, inner, _] = factors.shape;
    let x = TensorRef::from_array_view((vec![rows, inner], x.as_slice())).map_err(Error::call(action))?;
    let results = session.run(ort::inputs!["x" => x]).map_err(Error::call(action))?;
    let missing = || Error::Call { action: action.into(), reason: "no output y".into() };
    let (_, sums) =
        results.get("y").ok_or_else(missing)?.try_extract_tensor::<f32>().map_err(Error::call(action))?;
    Ok(sums.to_vec())
}

/// The product as graphs have it (see `graph::quantise`), with every scale 1.
fn product(factors: &Factors<'_>, bytes: Bytes) -> Result<Graph, Error> {
    let [_, inner, columns] = factors.shape;
    let shape = vec![inner, columns];
    let matrix = match bytes {
        Bytes::Signed => Constant::I8 { shape, data: factors.matrix.to_vec() },
        Bytes::Unsigned => {
            Constant::U8 { shape, data: factors.matrix.iter().map(|&w| unsigned(w)).collect() }
        }
    };
    let mut g = Graph::new("integers");
    let x = g.input("x", Fact::f32([Dim::Batch, Dim::Fixed(inner)]))?;
    let one = g.constant("one", Constant::scalar(1.0))?;
    // The bytes are fed as floats, the one type programs take; to make bytes of them is exact.
    let none = g.constant("none", Constant::byte(0))?;
    let values = g.wire("values", QuantizeLinear, &[x, one, none])?;
    let matrix = g.constant("matrix", matrix)?;
    let scales = g.constant("scales", Constant::F32 { shape: vec![columns], data: vec![1.0; columns] })?;
    let zero = g.constant("zero", Constant::byte(factors.zero))?;
    let mut inputs = vec![values, matrix, one, scales, zero];
    if bytes == Bytes::Unsigned {
        inputs.push(g.constant("matrix_zero", Constant::byte(ZERO))?);
    }
    let y = g.wire("product", IntegerProduct, &inputs)?;
    g.output("y", y);
    Ok(g)
}

/// A signed byte, shifted to where unsigned ones are.
pub(super) fn unsigned(w: i8) -> u8 {
    w.cast_unsigned() ^ ZERO
}

/// The bytes with which this processor's kernels sum products of a range exactly: signed ones, which are faster, if they
/// do. Both were asked to multiply the largest numbers of the range, which is the only way to know of every processor,
/// library and flag.
///
/// # Errors
/// [`Error::InexactIntegers`] when neither does; [`Error::Call`].
pub(super) fn exact_bytes(runtime: &Runtime, range: WeightRange) -> Result<Bytes, Error> {
    for bytes in [Bytes::Signed, Bytes::Unsigned] {
        if is_exact(runtime, range, bytes)? {
            return Ok(bytes);
        }
    }
    Err(Error::InexactIntegers)
}

/// Whether sums of a range's largest products are right, for one row and for several (other kernels), and for numbers of
/// columns and terms that end inside a kernel's block.
fn is_exact(runtime: &Runtime, range: WeightRange, bytes: Bytes) -> Result<bool, Error> {
    for shape in [[1, 64, 32], [1, 67, 21], [7, 67, 21], [13, 256, 80]] {
        let [rows, inner, columns] = shape;
        let matrix: Vec<i8> =
            (0..inner * columns).map(|at| largest(range, at / columns, at % columns)).collect();
        let activations = vec![u8::MAX; rows * inner];
        let factors = Factors { activations: &activations, zero: 0, matrix: &matrix, shape };
        if integer_sums(runtime, &factors, bytes)? != factors.sums() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The largest weight in a row, above zero in even columns and below in odd ones.
fn largest(range: WeightRange, row: usize, column: usize) -> i8 {
    let magnitude = match range {
        WeightRange::Full => 127,
        // Pairs of 64 and 64 alternate with pairs of 127 and 1: sums of 128 either way.
        WeightRange::Reduced => [64, 64, 127, 1][row % 4],
    };
    if column.is_multiple_of(2) { magnitude } else { -magnitude }
}
