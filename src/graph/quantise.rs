//! Products with frozen matrices in 8-bit integers.
//!
//! ```text
//! ŵ_kn = round(w_kn / t_n),          t_n = max_k |w_kn| / 127            once, for each output channel
//! x̂_mk = round(x_mk / s_m) + 128,    s_m = max_k |x_mk| / 127            at each run, for each token
//! y_mn = s_m t_n Σ_k (x̂_mk − 128) ŵ_kn
//! ```
//! What an activation function made is bounded below by `c`, and then all 256 steps lie where values can be:
//! ```text
//! x̂_mk = round((x_mk − c) / s_m),    s_m = max_k (x_mk − c) / 255
//! y_mn = s_m t_n Σ_k x̂_mk ŵ_kn + c t_n Σ_k ŵ_kn
//! ```
//! In the reduced range a channel's scale is larger where neighbours are large together, so that `|ŵ_2i + ŵ_2i+1| ≤ 128`:
//! ```text
//! t_n = max( max_k |w_kn|, max_i |w_2i,n + w_2i+1,n| ) / 127
//! ```
//! Kernels for CPUs without VNNI add two neighbouring products in 16 bits (`vpmaddubsw`), and `255 · 128` fits. ONNX
//! Runtime's `reduce_range` halves every weight for that (7 bits); this loses only what the largest pair needs: an
//! error of 0.0139 for each product of DINOv2-S where 8 bits have 0.0124 and 7 bits 0.0212.
//!
//! A scale for each token (Xiao et al. 2023 call it per-token dynamic quantisation), where ONNX Runtime's own dynamic
//! quantisation has one for the whole tensor: a row's answer must not depend on its neighbours in the batch.
//!
//! Only the forward products change. A training graph's backward products keep the fp32 matrices, so that gradients
//! pass the rounding as if it were not there (the straight-through estimator, Bengio et al. 2013).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ops::{Add, Extreme, Gelu, GeluTanh, IntegerProduct, MatMul, Max, Mul, Neg};
use super::ops::{QuantizeLinear, Reciprocal, ReduceExtreme, Sigmoid};
use super::{Constant, DType, Dim, Error, Fact, Graph, Node, Operator, Wire};
use crate::backbone::Precision;

/// Range of the quantised weights of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRange {
    /// -127 to 127.
    Full,
    /// The same, with sums of neighbours `2i` and `2i + 1` from -128 to 128.
    Reduced,
}

impl WeightRange {
    /// The range at a precision; none where it does not quantise.
    pub fn at(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Int8 => Some(Self::Full),
            Precision::Int8Reduced => Some(Self::Reduced),
            Precision::Fp32 | Precision::Tf32 | Precision::Fp16 => None,
        }
    }
}

/// How the bytes of a quantised matrix are written, which decides the kernel that multiplies them. The integers, and so
/// the answers, are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// `ŵ`.
    Signed,
    /// `ŵ + 128`.
    Unsigned,
}

impl Bytes {
    /// Element type of the matrix.
    pub fn dtype(self) -> DType {
        match self {
            Self::Signed => DType::I8,
            Self::Unsigned => DType::U8,
        }
    }
}

/// Largest quantised weight, and half the steps of an activation.
const STEPS: f32 = 127.0;
/// Stands for zero among unsigned bytes.
pub(crate) const ZERO: u8 = 128;
/// Steps of an activation that is bounded below.
const ONE_SIDED_STEPS: f32 = 255.0;
/// Least largest element of a token, so that a token of zeros has a scale.
const LEAST: f32 = 1e-30;
/// No GELU is lower: −0.16997 exactly computed, −0.17004 by its tanh approximation.
const GELU_LEAST: f32 = -0.1701;

/// What is computed from a frozen matrix, each a weight of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Derived {
    /// `ŵ [K, N]`, bytes.
    Matrix,
    /// `t [N]`.
    Scales,
    /// `c t_n Σ_k ŵ_kn`, `[N]`.
    Offsets,
    /// The whole weight in 16-bit floats.
    Half,
}

impl Derived {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Matrix, ".int8"),
        (Self::Scales, ".int8.scales"),
        (Self::Offsets, ".int8.offsets"),
        (Self::Half, ".fp16"),
    ];

    /// Name of what is computed from `weight`.
    pub fn name(self, weight: &str) -> String {
        let suffix = Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, suffix)| suffix);
        format!("{weight}{suffix}")
    }
}

/// Which fp32 weight a weight of a quantised or halved graph is computed from, and what of it; none if it is one itself.
pub fn derived(name: &str) -> Option<(&str, Derived)> {
    Derived::ALL.iter().find_map(|&(kind, suffix)| Some((name.strip_suffix(suffix)?, kind)))
}

/// A quantised matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    /// `ŵ [K, N]`, row-major.
    pub matrix: Vec<i8>,
    /// `t [N]`.
    pub scales: Vec<f32>,
    /// `c t_n Σ_k ŵ_kn`, `[N]`.
    pub offsets: Vec<f32>,
}

/// Quantises a matrix `[K, N]`, row-major, for each of its `columns` (N) by itself.
pub fn quantise(weights: &[f32], columns: usize, range: WeightRange) -> Quantised {
    let mut scales = vec![0.0f32; columns];
    for row in weights.chunks_exact(columns) {
        scales.iter_mut().zip(row).for_each(|(most, w)| *most = most.max(w.abs()));
    }
    if range == WeightRange::Reduced {
        for pair in weights.chunks_exact(2 * columns) {
            let (even, odd) = pair.split_at(columns);
            scales
                .iter_mut()
                .zip(even.iter().zip(odd))
                .for_each(|(most, (a, b))| *most = most.max((a + b).abs()));
        }
    }
    // A column of zeros has any scale.
    scales.iter_mut().for_each(|scale| *scale = scale.max(LEAST) / STEPS);
    let (mut matrix, mut sums) = (Vec::with_capacity(weights.len()), vec![0i32; columns]);
    for row in weights.chunks_exact(columns) {
        for ((w, scale), sum) in row.iter().zip(&scales).zip(&mut sums) {
            let q = (w / scale).round_ties_even() as i8;
            *sum += i32::from(q);
            matrix.push(q);
        }
    }
    let offsets = sums.iter().zip(&scales).map(|(&sum, scale)| GELU_LEAST * scale * sum as f32).collect();
    Quantised { matrix, scales, offsets }
}

/// The same graph with integers in its products with frozen matrices.
///
/// # Errors
/// [`Error::DuplicateName`] when the graph is quantised already.
pub fn quantised(graph: &Graph, bytes: Bytes) -> Result<Graph, Error> {
    let tokens = |g: &mut Graph, x| quantise_tokens(g, graph, x);
    with_products(graph, tokens, |g, node, tokens, weight| multiply(g, node, tokens, weight, bytes))
}

/// The same graph with other products in place of those with frozen matrices. What `prepare` makes of a product's left
/// side is made once and shared by all products that read it; `multiply` wires the product itself.
fn with_products<T: Copy>(
    graph: &Graph,
    prepare: impl Fn(&mut Graph, Wire) -> Result<T, Error>,
    multiply: impl Fn(&mut Graph, Node, T, (&str, [usize; 2])) -> Result<(), Error>,
) -> Result<Graph, Error> {
    let mut prepared: BTreeMap<Wire, T> = BTreeMap::new();
    graph.clone().rewrite(|g, node| {
        let Some((weight, shape)) = frozen(graph, &node) else {
            g.push(node);
            return Ok(());
        };
        let x = node.inputs[0];
        let left = match prepared.get(&x) {
            Some(&known) => known,
            None => *prepared.entry(x).or_insert(prepare(g, x)?),
        };
        multiply(g, node, left, (weight, shape))
    })
}

/// Quantised activations, shared by all products that read them.
#[derive(Clone, Copy)]
struct Tokens {
    values: Wire,
    /// `s`, `[.., 1]`.
    scales: Wire,
    /// What stands for zero.
    zero: Wire,
    one_sided: bool,
}

/// Name and shape of the frozen matrix on the right of a product.
pub(super) fn frozen<'a>(graph: &'a Graph, node: &Node) -> Option<(&'a str, [usize; 2])> {
    let &[_, right] = &node.inputs[..] else { return None };
    let [Dim::Fixed(k), Dim::Fixed(n)] = graph.fact(right).shape[..] else { return None };
    let (name, _) = graph.weights().find(|(_, wire)| *wire == right)?;
    node.operator.is::<MatMul>().then_some((name, [k, n]))
}

/// Quantises the last axis of `x`, each token by itself.
fn quantise_tokens(g: &mut Graph, graph: &Graph, x: Wire) -> Result<Tokens, Error> {
    let (name, axis) = (g.wire_name(x).to_owned(), g.fact(x).rank() - 1);
    let n = |part: &str| format!("{name}.int8.{part}");
    let one_sided = is_gelu(graph, x);
    let (from, most, steps, zero) = if one_sided {
        let shift = g.shared_constant("int8.shift", || Constant::scalar(-GELU_LEAST))?;
        let from = g.wire(n("shifted"), Add, &[x, shift])?;
        (from, g.wire(n("max"), ReduceExtreme { extreme: Extreme::Max, axis }, &[from])?, ONE_SIDED_STEPS, 0)
    } else {
        let max = g.wire(n("max"), ReduceExtreme { extreme: Extreme::Max, axis }, &[x])?;
        let min = g.wire(n("min"), ReduceExtreme { extreme: Extreme::Min, axis }, &[x])?;
        let min = g.wire(n("negated"), Neg, &[min])?;
        (x, g.wire(n("magnitude"), Max, &[max, min])?, STEPS, ZERO)
    };
    let least = g.shared_constant("int8.least", || Constant::scalar(LEAST))?;
    let most = g.wire(n("most"), Max, &[most, least])?;
    let step = g.shared_constant(&format!("int8.step{zero}"), || Constant::scalar(1.0 / steps))?;
    let scales = g.wire(n("scales"), Mul, &[most, step])?; // [.., 1]
    let inverse = g.wire(n("inverse"), Reciprocal, &[scales])?;
    let scaled = g.wire(n("scaled"), Mul, &[from, inverse])?;
    let one = g.shared_constant("int8.one", || Constant::scalar(1.0))?;
    let zero = g.shared_constant(&format!("int8.zero{zero}"), || Constant::byte(zero))?;
    let values = g.wire(n("values"), QuantizeLinear, &[scaled, one, zero])?;
    Ok(Tokens { values, scales, zero, one_sided })
}

/// Wires `node`, a product with the frozen matrix `weight [K, N]`, in integers.
fn multiply(
    g: &mut Graph,
    node: Node,
    tokens: Tokens,
    (weight, shape): (&str, [usize; 2]),
    bytes: Bytes,
) -> Result<(), Error> {
    let matrix = g.weight_like(&Derived::Matrix.name(weight), Fact::fixed(&shape).of(bytes.dtype()))?;
    let columns = g.weight(&Derived::Scales.name(weight), &shape[1..])?;
    let one = g.shared_constant("int8.one", || Constant::scalar(1.0))?;
    let mut inputs = vec![tokens.values, matrix, one, columns, tokens.zero];
    if bytes == Bytes::Unsigned {
        inputs.push(g.shared_constant(&format!("int8.zero{ZERO}"), || Constant::byte(ZERO))?);
    }
    let product = g.wire(format!("{}.int8", node.name), IntegerProduct, &inputs)?;
    let (operator, inputs): (Arc<dyn Operator>, _) = match tokens.one_sided {
        false => (Arc::new(Mul), vec![product, tokens.scales]),
        true => {
            let scaled = g.wire(format!("{}.int8.scaled", node.name), Mul, &[product, tokens.scales])?;
            (Arc::new(Add), vec![scaled, g.weight(&Derived::Offsets.name(weight), &shape[1..])?])
        }
    };
    // The product's own wire, so that whoever read it reads this.
    g.push(Node { operator, inputs, ..node });
    Ok(())
}

/// Whether a wire is what a GELU made: `x · Φ(x)`, its tanh approximation, or `x · σ(1.702 x)`.
fn is_gelu(graph: &Graph, x: Wire) -> bool {
    let Some(node) = graph.maker(x) else { return false };
    match node.inputs[..] {
        _ if node.operator.is::<Gelu>() || node.operator.is::<GeluTanh>() => true,
        [_, gate] if node.operator.is::<Mul>() => {
            graph.maker(gate).is_some_and(|node| node.operator.is::<Sigmoid>())
        }
        _ => false,
    }
}
