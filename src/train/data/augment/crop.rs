//! Random crops of random shape.

use image::{RgbImage, imageops};
use rand::{Rng, RngExt};

/// Narrowest and widest shape, width over height (torchvision's `RandomResizedCrop`).
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// Tries before the largest central crop of an allowed shape is taken.
const TRIES: usize = 10;

/// A rectangle of a share of the area between `least` and 1, as `torchvision.transforms.RandomResizedCrop` draws it.
pub(super) fn random_crop(image: &RgbImage, least: f64, random: &mut impl Rng) -> RgbImage {
    let (width, height) = image.dimensions();
    let area = f64::from(width) * f64::from(height);
    for _ in 0..TRIES {
        let target = area * random.random_range(least..=1.0);
        let ratio = random.random_range(RATIO.0.ln()..=RATIO.1.ln()).exp();
        let (w, h) = ((target * ratio).sqrt().round() as u32, (target / ratio).sqrt().round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let (x, y) = (random.random_range(0..=width - w), random.random_range(0..=height - h));
            return imageops::crop_imm(image, x, y, w, h).to_image();
        }
    }
    let (w, h) = central(width, height);
    imageops::crop_imm(image, (width - w) / 2, (height - h) / 2, w, h).to_image()
}

/// The largest crop of an allowed shape.
fn central(width: u32, height: u32) -> (u32, u32) {
    let ratio = f64::from(width) / f64::from(height);
    if ratio < RATIO.0 {
        (width, ((f64::from(width) / RATIO.0).round() as u32).clamp(1, height))
    } else if ratio > RATIO.1 {
        (((f64::from(height) * RATIO.1).round() as u32).clamp(1, width), height)
    } else {
        (width, height)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn crops_lie_inside_and_are_large_enough() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (width, height) in [(64, 48), (1, 1), (300, 2), (2, 300)] {
            for _ in 0..50 {
                let crop = random_crop(&RgbImage::new(width, height), 0.25, &mut random);
                let area = f64::from(crop.width() * crop.height());
                assert!(crop.width() >= 1 && crop.width() <= width && crop.height() <= height);
                // An image far from the allowed shapes is cut to one of them instead.
                let shape = f64::from(width) / f64::from(height);
                let ordinary = (0.5..2.0).contains(&shape);
                assert!(!ordinary || area >= 0.2 * f64::from(width * height));
            }
        }
    }
}
