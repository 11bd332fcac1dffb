//! Resampling weights: which source pixels make a target pixel, and how much of each.

use std::f64::consts::PI;

use super::Interpolation;
use super::geometry::Axis;

/// Fractional bits of a weight: 32 less 8 for the sample and 2 for overshoot (Pillow, `Resample.c`).
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The source pixels from `first` on, each with its weight, that make one target pixel.
#[derive(Debug, PartialEq)]
pub(super) struct Tap {
    pub first: usize,
    /// Fixed point; they sum to about `1 << PRECISION`.
    pub weights: Vec<i32>,
}

/// The taps of each pixel of an axis that survives its crop.
///
/// The formulas and the order of operations are those of Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`, so
/// that every weight is the same to the last bit.
pub(super) fn taps(axis: &Axis, interpolation: Interpolation) -> Vec<Tap> {
    let kept = axis.first..axis.first + u64::from(axis.target);
    if axis.resized == u64::from(axis.source) {
        return kept.map(|at| Tap { first: at as usize, weights: vec![1 << PRECISION] }).collect();
    }
    let scale = f64::from(axis.source) / axis.resized as f64;
    kept.map(|at| tap((at as f64 + 0.5) * scale, scale.max(1.0), axis.source, interpolation)).collect()
}

/// The tap of a target pixel whose centre is at `centre` of the source, the filter being stretched by `stretch`.
fn tap(centre: f64, stretch: f64, source: u32, interpolation: Interpolation) -> Tap {
    let reach = support(interpolation) * stretch;
    let first = (centre - reach + 0.5).max(0.0) as usize;
    let end = (centre + reach + 0.5).min(f64::from(source)) as usize;
    let per_pixel = 1.0 / stretch;
    let values: Vec<f64> = (first..end)
        .map(|at| value(interpolation, ((at - first) as f64 + first as f64 - centre + 0.5) * per_pixel))
        .collect();
    let sum: f64 = values.iter().sum();
    Tap { first, weights: values.into_iter().map(|value| fixed(value / sum)).collect() }
}

/// Rounds to fixed point, halves away from zero.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION) + 0.5_f64.copysign(weight)) as i32
}

/// How far a filter reaches when it is not stretched, in source pixels.
fn support(interpolation: Interpolation) -> f64 {
    match interpolation {
        Interpolation::Bilinear => 1.0,
        Interpolation::Bicubic => 2.0,
        Interpolation::Lanczos3 => 3.0,
    }
}

/// A filter's value at a distance of `x` pixels.
fn value(interpolation: Interpolation, x: f64) -> f64 {
    match interpolation {
        Interpolation::Bilinear => (1.0 - x.abs()).max(0.0),
        Interpolation::Bicubic => cubic(x.abs()),
        Interpolation::Lanczos3 if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        Interpolation::Lanczos3 => 0.0,
    }
}

/// Keys's cubic convolution with a = -0.5, of a distance that is not negative.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one() {
        let axis = Axis { source: 331, resized: 224, first: 10, target: 200, offset: 0 };
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos3] {
            for tap in taps(&axis, interpolation) {
                let sum: i32 = tap.weights.iter().sum();
                assert!((sum - (1 << PRECISION)).abs() <= tap.weights.len() as i32, "{tap:?}");
                assert!(tap.first + tap.weights.len() <= 331, "{tap:?}");
            }
        }
    }

    #[test]
    fn halving_with_a_triangle_weighs_one_three_three_one() {
        let axis = Axis { source: 8, resized: 4, first: 1, target: 1, offset: 0 };
        let eighth = 1 << (PRECISION - 3);
        let expected = Tap { first: 1, weights: vec![eighth, 3 * eighth, 3 * eighth, eighth] };
        assert_eq!(taps(&axis, Interpolation::Bilinear), [expected]);
    }
}
