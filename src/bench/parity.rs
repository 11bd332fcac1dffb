//! Whether two devices, or two precisions, give the same features.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::Bench;
use crate::backbone::ModuleSet;
use crate::graph::Plan;
use crate::pack::Pack;
use crate::runtime::Program;

/// How features differ from the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parity {
    /// Rows.
    pub rows: usize,
    /// Distinct packs among them.
    pub packs: usize,
    /// Adapters in each pack.
    pub adapters: usize,
    /// Largest difference of an element over the reference's root mean square.
    pub largest: f64,
    /// Root mean square of the differences over the reference's.
    pub relative: f64,
    /// Least cosine of a row's feature to the reference's.
    pub cosine: f64,
}

/// Runs the same rows, so many under so many packs each time, on both and compares the pooled features; hands each
/// comparison to `each` as it comes.
///
/// # Errors
/// When a program cannot be compiled or run, the two have features of different shapes, or `each` fails.
pub fn parity(
    (reference, other): (&Bench, &Bench),
    sizes: impl Iterator<Item = (usize, usize)>,
    sites: ModuleSet,
    mut each: impl FnMut(Parity) -> Result<()>,
) -> Result<()> {
    let program = |bench: &Bench| bench.program(&Plan::whole(bench.config(), sites));
    let (mut exact, mut judged) = (program(reference)?, program(other)?);
    for (rows, packs) in sizes {
        let made = (0..packs.clamp(1, rows.max(1))).map(|i| reference.pack_at(i as u64, sites));
        let made: Vec<Arc<Pack>> = made.collect::<Result<_>>()?;
        let feed = reference.feed(&made, rows, sites);
        let features = |program: &mut Program| -> Result<Vec<f32>> {
            Ok(feed.run(program)?.into_iter().next().context("the program gave nothing")?.data)
        };
        let (expected, found) = (features(&mut exact)?, features(&mut judged)?);
        ensure!(expected.len() == found.len(), "{} and {} features", expected.len(), found.len());
        let (largest, relative, cosine) = compare(&expected, &found, reference.config().feature_width());
        each(Parity { rows, packs: made.len(), adapters: sites.len(), largest, relative, cosine })?;
    }
    Ok(())
}

/// The largest difference, the differences' root mean square, both over the expected values', and the least cosine of
/// rows of `width`. NaN where a value is none.
fn compare(expected: &[f32], found: &[f32], width: usize) -> (f64, f64, f64) {
    let pairs = || expected.iter().zip(found).map(|(&e, &f)| (f64::from(e), f64::from(f)));
    let scale = (pairs().map(|(e, _)| e * e).sum::<f64>() / expected.len() as f64).sqrt();
    let square = pairs().map(|(e, f)| (e - f) * (e - f)).sum::<f64>() / expected.len() as f64;
    // `f64::max` would pass over a NaN.
    let largest =
        pairs().map(|(e, f)| (e - f).abs()).fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
    let cosine = |(e, f): (&[f32], &[f32])| {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        dot(e, f) / (dot(e, e) * dot(f, f)).sqrt()
    };
    let cosines = expected.chunks(width).zip(found.chunks(width)).map(cosine);
    let least = cosines.fold(1.0, |a: f64, b| if b < a || b.is_nan() { b } else { a });
    (largest / scale, square.sqrt() / scale, least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_and_nan_is_never_passed_over() {
        assert_eq!(compare(&[3.0, 4.0], &[3.0, 4.0], 2), (0.0, 0.0, 1.0));
        let (largest, relative, cosine) = compare(&[1.0, 1.0, 1.0, -1.0], &[1.0, 1.0, 1.0, 1.0], 2);
        assert_eq!((largest, relative, cosine), (2.0, 1.0, 0.0));
        for at in 0..3 {
            let mut found = [1.0, 1.0, 1.0, 1.0];
            found[at] = f32::NAN;
            let (largest, relative, cosine) = compare(&[1.0; 4], &found, 2);
            assert!(largest.is_nan() && relative.is_nan() && cosine.is_nan(), "{at}");
        }
    }
}
