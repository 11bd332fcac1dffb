//! 8-bit products are the same integers on every processor, whichever of its kernels sums them.

use mimi_server::backbone::Precision;
use mimi_server::graph::{Bytes, PIXELS, Plan, WeightRange, build, quantise};
use mimi_server::runtime::{Factors, Input, Program, integer_sums};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{self, FAMILIES, TinyBackbone};

/// Rows, terms and columns on both sides of kernels' block sizes.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [1, 3, 16],
    [2, 64, 64],
    [3, 67, 17],
    [1, 512, 33],
    [5, 31, 48],
    [6, 128, 7],
    [7, 511, 65],
    [8, 256, 96],
    [13, 100, 130],
    [24, 511, 16],
    [197, 64, 48],
];

/// What the processor must give, in 32-bit integers.
fn expected(factors: &Factors<'_>) -> Vec<f32> {
    let [m, k, n] = factors.shape;
    let mut sums = vec![0i32; m * n];
    for (row, x) in factors.activations.iter().enumerate().map(|(at, &x)| (at, i32::from(x))) {
        for column in 0..n {
            let weight = i32::from(factors.matrix[row % k * n + column]);
            sums[row / k * n + column] += (x - i32::from(factors.zero)) * weight;
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Matrices of a range: the largest sums there are, and random ones.
fn matrices(range: WeightRange, [_, k, n]: [usize; 3]) -> [Vec<i8>; 3] {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let largest = |row: usize, pair: [i8; 4]| match range {
        WeightRange::Full => 127,
        WeightRange::Reduced => pair[row % 4],
    };
    let signed = |column: usize, w: i8| if column.is_multiple_of(2) { w } else { -w };
    let worst = |pair: [i8; 4]| (0..k * n).map(|at| signed(at % n, largest(at / n, pair))).collect();
    let floats: Vec<f32> = (0..k * n).map(|_| random.random_range(-1.0..1.0)).collect();
    [worst([64, 64, 127, 1]), worst([1, 127, 100, 28]), quantise(&floats, n, range).matrix]
}

fn check(range: WeightRange, bytes: Bytes) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for shape in SHAPES {
        for matrix in matrices(range, shape) {
            let drawn: Vec<u8> = (0..shape[0] * shape[1]).map(|_| random.random()).collect();
            for (activations, zero) in [(vec![255; drawn.len()], 0), (drawn.clone(), 0), (drawn, 128)] {
                let factors = Factors { activations: &activations, zero, matrix: &matrix, shape };
                let found = integer_sums(&support::runtime(), &factors, bytes).unwrap();
                assert_eq!(found, expected(&factors), "{range:?} {bytes:?} {shape:?} zero {zero}");
            }
        }
    }
}

#[test]
fn f0_unsigned_matrices_are_summed_exactly() {
    check(WeightRange::Full, Bytes::Unsigned);
    check(WeightRange::Reduced, Bytes::Unsigned);
}

#[test]
fn f0_signed_matrices_of_the_reduced_range_are_summed_exactly() {
    check(WeightRange::Reduced, Bytes::Signed);
}

/// A mixed fleet gives one answer: what a processor chooses for speed changes no bit of it.
#[test]
fn f0_features_do_not_depend_on_the_kernel() {
    for fixture in FAMILIES {
        let features = |precision, bytes| {
            let tiny = TinyBackbone::from(fixture).at(precision).with(bytes);
            let plan = Plan::whole(&tiny.config, mimi_server::backbone::ModuleSet::EMPTY);
            let graph = build(&tiny.config, &plan).unwrap();
            let mut program = Program::compile(&support::runtime(), &tiny.store(), &graph).unwrap();
            let pixels = [tiny.pixels(1), tiny.pixels(2), tiny.pixels(3)].concat();
            let shape = [vec![3], tiny.config.input_shape(0)].concat();
            program.run(&[Input { name: PIXELS, shape: &shape, data: &pixels }]).unwrap().remove(0).data
        };
        let (reduced, full) = (Precision::Int8Reduced, Precision::Int8);
        let signed = features(reduced, Some(Bytes::Signed));
        assert_eq!(signed, features(reduced, Some(Bytes::Unsigned)), "{fixture}");
        assert_eq!(signed, features(reduced, None), "{fixture}");
        let chosen = features(full, None);
        assert_eq!(chosen, features(full, Some(Bytes::Unsigned)), "{fixture}");
        assert_ne!(chosen, signed, "{fixture}: the ranges differ");
    }
}

#[test]
fn a_reduced_matrix_is_quantised_as_numpy_would() {
    // s = np.maximum(np.abs(w).max(0), np.abs(w[0::2] + w[1::2]).max(0)) / 127; q = np.round(w / s)
    let found = quantise(&[0.5, -2.0, 0.5, -1.0, 0.3, 2.0, 0.3, 1.0], 2, WeightRange::Reduced);
    assert_eq!(found.matrix, [64, -85, 64, -42, 38, 85, 38, 42]);
    support::assert_close("scales", &found.scales, &[1.0 / 127.0, 3.0 / 127.0], 1e-9);
}

proptest! {
    #[test]
    fn no_pair_of_the_reduced_range_can_saturate(
        (columns, weights) in (1usize..5).prop_flat_map(|n| (Just(n), proptest::collection::vec(-1e3f32..1e3, n * 9)))
    ) {
        let found = quantise(&weights, columns, WeightRange::Reduced);
        for pair in found.matrix.chunks_exact(2 * columns) {
            for column in 0..columns {
                let (a, b) = (i32::from(pair[column]), i32::from(pair[columns + column]));
                for sum in [255 * a, 255 * b, 255 * (a + b)] {
                    prop_assert!(i32::from(sum as i16) == sum, "{a} {b}");
                }
            }
        }
        for (q, w) in found.matrix.iter().zip(&weights).enumerate().map(|(i, (q, w))| ((q, found.scales[i % columns]), w)) {
            prop_assert!((f32::from(*q.0) * q.1 - w).abs() <= 0.501 * q.1);
        }
    }
}
