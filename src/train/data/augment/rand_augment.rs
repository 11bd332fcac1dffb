//! RandAugment (Cubuk et al. 2020) as timm's `rand-m9-mstd0.5-inc1`: two of fifteen operations, each with chance ½,
//! all of about one magnitude, stronger with it.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};

use super::affine::{rotation, transform};
use super::colour::{Quality, enhance};
use crate::adaptation::random::normal;

/// Operations an image gets.
const LAYERS: usize = 2;
/// Chance of each.
const CHANCE: f64 = 0.5;
/// Deviation of the magnitude.
const DEVIATION: f64 = 0.5;
/// Largest magnitude.
const MOST: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
enum Operation {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Enhance(Quality),
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

const OPERATIONS: [Operation; 15] = [
    Operation::AutoContrast,
    Operation::Equalize,
    Operation::Invert,
    Operation::Rotate,
    Operation::Posterize,
    Operation::Solarize,
    Operation::SolarizeAdd,
    Operation::Enhance(Quality::Saturation),
    Operation::Enhance(Quality::Contrast),
    Operation::Enhance(Quality::Brightness),
    Operation::Enhance(Quality::Sharpness),
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
];

/// The policy.
#[derive(Clone, Copy, Debug)]
pub struct RandAugment {
    /// Mean magnitude, 0 to 10.
    pub magnitude: f64,
    /// Colour of what comes from outside the image: the mean of the backbone's training images.
    pub fill: [u8; 3],
}

impl RandAugment {
    /// Changes an image.
    pub fn apply(&self, mut image: RgbImage, random: &mut impl Rng) -> RgbImage {
        for _ in 0..LAYERS {
            let operation = OPERATIONS[random.random_range(0..OPERATIONS.len())];
            let level = (self.magnitude + DEVIATION * normal(random)).clamp(0.0, MOST) / MOST;
            let (happens, signed) = (random.random_bool(CHANCE), random.random_bool(0.5));
            if happens {
                let sign = if signed { -1.0 } else { 1.0 };
                image = self.change(image, operation, (level, sign));
            }
        }
        image
    }

    /// Ranges are timm's: 30°, shears of 0.3, shifts of 0.45, factors within 0.9 of 1.
    fn change(&self, image: RgbImage, operation: Operation, (level, sign): (f64, f64)) -> RgbImage {
        let size = image.dimensions();
        let affine = |matrix| transform(&image, matrix, self.fill);
        let (shear, shift) = (sign * 0.3 * level, sign * 0.45 * level);
        match operation {
            Operation::AutoContrast => by_channel(&image, stretched),
            Operation::Equalize => by_channel(&image, equalized),
            Operation::Invert => mapped(&image, |value| 255 - value),
            Operation::Rotate => affine(rotation(sign * 30.0 * level, size)),
            Operation::Posterize => {
                let bits = 4 - (4.0 * level) as u32;
                // No bit is left at the largest magnitude: black, as in timm.
                mapped(&image, |value| value & (0xff00u32 >> bits) as u8)
            }
            Operation::Solarize => {
                let threshold = 256 - ((256.0 * level) as u32).min(256);
                mapped(&image, |value| if u32::from(value) < threshold { value } else { 255 - value })
            }
            Operation::SolarizeAdd => {
                let more = (110.0 * level) as u8;
                mapped(&image, |value| if value < 128 { value.saturating_add(more) } else { value })
            }
            Operation::Enhance(quality) => enhance(&image, quality, (1.0 + sign * 0.9 * level).max(0.1)),
            Operation::ShearX => affine([1.0, shear, 0.0, 0.0, 1.0, 0.0]),
            Operation::ShearY => affine([1.0, 0.0, 0.0, shear, 1.0, 0.0]),
            Operation::TranslateX => affine([1.0, 0.0, shift * f64::from(size.0), 0.0, 1.0, 0.0]),
            Operation::TranslateY => affine([1.0, 0.0, 0.0, 0.0, 1.0, shift * f64::from(size.1)]),
        }
    }
}

fn mapped(image: &RgbImage, map: impl Fn(u8) -> u8) -> RgbImage {
    let mut changed = image.clone();
    changed.iter_mut().for_each(|value| *value = map(*value));
    changed
}

/// Maps each channel by a table made from its histogram.
fn by_channel(image: &RgbImage, table: fn(&[u32; 256]) -> [u8; 256]) -> RgbImage {
    let mut histograms = [[0; 256]; 3];
    for pixel in image.pixels() {
        (0..3).for_each(|c| histograms[c][usize::from(pixel.0[c])] += 1);
    }
    let tables = histograms.map(|histogram| table(&histogram));
    let mut changed = image.clone();
    for Rgb(values) in changed.pixels_mut() {
        (0..3).for_each(|c| values[c] = tables[c][usize::from(values[c])]);
    }
    changed
}

/// Darkest to 0, lightest to 255, linearly between (Pillow's `ImageOps.autocontrast`, but to the nearest level).
fn stretched(histogram: &[u32; 256]) -> [u8; 256] {
    let low = histogram.iter().position(|&n| n > 0).unwrap_or(0);
    let high = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
    let scale = if high > low { 255.0 / (high - low) as f64 } else { 0.0 };
    std::array::from_fn(|i| match high > low {
        true => ((i as f64 - low as f64) * scale).round().clamp(0.0, 255.0) as u8,
        false => i as u8,
    })
}

/// An even histogram (Pillow's `ImageOps.equalize`).
fn equalized(histogram: &[u32; 256]) -> [u8; 256] {
    let identity = std::array::from_fn(|i| i as u8);
    let last = histogram.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
    let step = (histogram.iter().sum::<u32>() - last) / 255;
    if step == 0 {
        return identity;
    }
    let mut count = step / 2;
    std::array::from_fn(|i| {
        let level = (count / step).min(255) as u8;
        count += histogram[i];
        level
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_operation_runs_at_every_magnitude_and_keeps_the_size() {
        let image = RgbImage::from_fn(17, 9, |x, y| Rgb([(x * 15) as u8, (y * 28) as u8, 100]));
        let policy = RandAugment { magnitude: 9.0, fill: [1, 2, 3] };
        for operation in OPERATIONS {
            for level in [0.0, 0.05, 0.9, 1.0] {
                for sign in [-1.0, 1.0] {
                    assert_eq!(policy.change(image.clone(), operation, (level, sign)).dimensions(), (17, 9));
                }
            }
        }
        let once = policy.apply(image.clone(), &mut ChaCha8Rng::seed_from_u64(5));
        assert_eq!(once, policy.apply(image, &mut ChaCha8Rng::seed_from_u64(5)));
    }

    #[test]
    fn tables_do_what_pillow_does() {
        let mut histogram = [0; 256];
        (histogram[50], histogram[100]) = (300, 300);
        let table = stretched(&histogram);
        assert_eq!((table[50], table[100], table[60]), (0, 255, 51));
        // step = (600 − 300) / 255 = 1, so 50 maps to 0 and 100 to 255.
        let table = equalized(&histogram);
        assert_eq!((table[50], table[100]), (0, 255));
    }
}
