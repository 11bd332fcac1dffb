//! Mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019) of a batch with its own reverse, as timm's `Mixup`.

use rand::{Rng, RngExt};

use super::options::AugmentOptions;
use crate::adaptation::random::normal;

/// Chance that cutmix is taken where both are on (docs/method.md section 5).
const SWITCH: f64 = 0.5;

/// Images that are mixed with each other.
#[derive(Debug)]
pub struct Mixed<'a> {
    /// `[B, 3, side, side]`.
    pub pixels: &'a mut [f32],
    /// `[B, C]`.
    pub targets: &'a mut [f32],
    /// Images (B).
    pub count: usize,
    /// Pixels of a side.
    pub side: usize,
}

/// Mixes each image with the one as far from the batch's end, and its targets with that one's.
pub fn mix(options: &AugmentOptions, images: Mixed<'_>, random: &mut impl Rng) {
    let Mixed { pixels, targets, count, side } = images;
    let cut = match (options.mixup > 0.0, options.cutmix > 0.0) {
        (false, false) => return,
        (true, true) => random.random_bool(SWITCH),
        (_, cutmix) => cutmix,
    };
    let alpha = if cut { options.cutmix } else { options.mixup };
    let mut own = beta(alpha, random);
    let (image, classes) = (pixels.len() / count, targets.len() / count);
    if cut {
        let (rows, columns) = rectangle(own, side, random);
        // What the border cuts off does not count.
        own = 1.0 - (rows.len() * columns.len()) as f64 / (side * side) as f64;
        pairs(pixels, image, |a, b| {
            for plane in 0..image / (side * side) {
                for row in rows.clone() {
                    let at = (plane * side + row) * side;
                    let span = at + columns.start..at + columns.end;
                    a[span.clone()].swap_with_slice(&mut b[span]);
                }
            }
        });
    } else {
        pairs(pixels, image, |a, b| blend(a, b, own as f32));
    }
    pairs(targets, classes, |a, b| blend(a, b, own as f32));
}

/// Calls `both` with each item and its mirror image, each pair once.
fn pairs(items: &mut [f32], size: usize, both: impl Fn(&mut [f32], &mut [f32])) {
    let count = items.len() / size.max(1);
    let (front, back) = items.split_at_mut(count / 2 * size);
    front.chunks_mut(size).zip(back.chunks_mut(size).rev()).for_each(|(a, b)| both(a, b));
}

/// `a ← own a + (1 − own) b` and the other way round.
fn blend(a: &mut [f32], b: &mut [f32], own: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (own * *a + (1.0 - own) * *b, own * *b + (1.0 - own) * *a);
    }
}

/// Rows and columns of a rectangle of `1 − own` of the area around a random point, cut off at the border.
fn rectangle(
    own: f64,
    side: usize,
    random: &mut impl Rng,
) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let half = (side as f64 * (1.0 - own).sqrt()) as usize / 2;
    let mut span = || {
        let middle = random.random_range(0..side);
        middle.saturating_sub(half)..(middle + half).min(side)
    };
    (span(), span())
}

/// `Beta(alpha, alpha)`: `x / (x + y)` of two gamma-distributed numbers.
fn beta(alpha: f64, random: &mut impl Rng) -> f64 {
    let (x, y) = (gamma(alpha, random), gamma(alpha, random));
    if x + y > 0.0 { x / (x + y) } else { 0.5 }
}

/// `Gamma(shape, 1)` (Marsaglia and Tsang 2000).
fn gamma(shape: f64, random: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - random.random::<f64>()).powf(1.0 / shape);
        return gamma(shape + 1.0, random) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - random.random::<f64>();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn beta_has_its_mean_and_variance() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for alpha in [0.8, 1.0, 3.0] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut random)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean - 0.5).abs() < 0.01);
            assert!((variance - 1.0 / (4.0 * (2.0 * alpha + 1.0))).abs() < 0.004, "{alpha}: {variance}");
        }
    }

    #[test]
    fn targets_follow_the_pixels() {
        // Image i is all i + 1 and its target all on class i, so that a mixture can be read off either.
        for (mixup, cutmix) in [(0.8, 0.0), (0.0, 1.0)] {
            let options = AugmentOptions { mixup, cutmix, ..AugmentOptions::none() };
            for seed in 0..20 {
                let (side, count) = (8, 3);
                let mut pixels: Vec<f32> = (0..count * 3 * 64).map(|i| (i / 192 + 1) as f32).collect();
                let mut targets = vec![0.0; count * count];
                (0..count).for_each(|i| targets[i * count + i] = 1.0);
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let images = Mixed { pixels: &mut pixels, targets: &mut targets, count, side };
                mix(&options, images, &mut random);
                for (image, target) in pixels.chunks(192).zip(targets.chunks(count)) {
                    let mean = image.iter().sum::<f32>() / 192.0;
                    let expected: f32 = target.iter().zip(1..).map(|(t, i)| t * i as f32).sum();
                    assert!(
                        (mean - expected).abs() < 1e-4 && (target.iter().sum::<f32>() - 1.0).abs() < 1e-5
                    );
                }
            }
        }
    }
}
