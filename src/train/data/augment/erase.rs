//! Random erasing (Zhong et al. 2020), timm's `pixel` mode.

use rand::{Rng, RngExt};

use crate::adaptation::random::normal;

/// Smallest and largest share of the area (timm's `RandomErasing`).
const AREA: (f64, f64) = (0.02, 1.0 / 3.0);
/// Flattest shape, height over width; the steepest is its inverse.
const RATIO: f64 = 0.3;
/// Tries before the image is left as it is.
const TRIES: usize = 10;

/// Replaces a random rectangle of normalised pixels by standard normal noise.
///
/// # Shapes
/// `pixels` is `[3, side, side]`.
pub(super) fn erase(pixels: &mut [f32], side: usize, random: &mut impl Rng) {
    for _ in 0..TRIES {
        let target = random.random_range(AREA.0..=AREA.1) * (side * side) as f64;
        let ratio = random.random_range(RATIO.ln()..=-RATIO.ln()).exp();
        let (h, w) = ((target * ratio).sqrt().round() as usize, (target / ratio).sqrt().round() as usize);
        if h < side && w < side {
            let (top, left) = (random.random_range(0..=side - h), random.random_range(0..=side - w));
            for plane in pixels.chunks_mut(side * side) {
                for row in plane.chunks_mut(side).skip(top).take(h) {
                    row[left..left + w].iter_mut().for_each(|value| *value = normal(random) as f32);
                }
            }
            return;
        }
    }
}
