//! Brightness, contrast, saturation and sharpness, as Pillow's `ImageEnhance`: a blend with a plainer image.

use image::{Rgb, RgbImage};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// A quality of an image that can be turned up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// Against black.
    Brightness,
    /// Against its mean grey.
    Contrast,
    /// Against its grey version.
    Saturation,
    /// Against its smoothed version.
    Sharpness,
}

/// `plain + factor · (image − plain)`: 0 gives the plain image, 1 the image itself, more exaggerates.
pub(super) fn enhance(image: &RgbImage, quality: Quality, factor: f64) -> RgbImage {
    let plain: Box<dyn Fn(u32, u32) -> Rgb<u8>> = match quality {
        Quality::Brightness => Box::new(|_, _| Rgb([0; 3])),
        Quality::Contrast => {
            let mean = image.pixels().map(|p| f64::from(grey(p))).sum::<f64>();
            let mean = mean / f64::from(image.width() * image.height()).max(1.0);
            Box::new(move |_, _| Rgb([(mean + 0.5) as u8; 3]))
        }
        Quality::Saturation => Box::new(|x, y| Rgb([grey(image.get_pixel(x, y)); 3])),
        Quality::Sharpness => Box::new(|x, y| smooth(image, x, y)),
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (own, plain) = (image.get_pixel(x, y), plain(x, y));
        Rgb(std::array::from_fn(|c| {
            let (own, plain) = (f64::from(own.0[c]), f64::from(plain.0[c]));
            (plain + factor * (own - plain)).round().clamp(0.0, 255.0) as u8
        }))
    })
}

/// ITU-R 601 luma, in Pillow's integers.
fn grey(pixel: &Rgb<u8>) -> u8 {
    let [r, g, b] = pixel.0.map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// Pillow's `SMOOTH`: a 3×3 mean whose middle counts five times; the border is left.
fn smooth(image: &RgbImage, x: u32, y: u32) -> Rgb<u8> {
    if x == 0 || y == 0 || x + 1 == image.width() || y + 1 == image.height() {
        return *image.get_pixel(x, y);
    }
    let neighbours = (0..9).map(|i| image.get_pixel(x + i % 3 - 1, y + i / 3 - 1));
    let mut sums = image.get_pixel(x, y).0.map(|value| 4 * u32::from(value));
    neighbours.for_each(|p| sums.iter_mut().zip(p.0).for_each(|(sum, value)| *sum += u32::from(value)));
    Rgb(sums.map(|sum| ((sum + 6) / 13) as u8))
}

/// Brightness, contrast and saturation, each by a factor within `1 ± amount`, in random order (torchvision's
/// `ColorJitter`).
pub(super) fn jitter(mut image: RgbImage, amount: f64, random: &mut impl Rng) -> RgbImage {
    let mut order = [Quality::Brightness, Quality::Contrast, Quality::Saturation];
    order.shuffle(random);
    for quality in order {
        let factor = random.random_range((1.0 - amount).max(0.0)..=1.0 + amount);
        image = enhance(&image, quality, factor);
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_one_changes_nothing_and_zero_gives_the_plain_image() {
        let image = RgbImage::from_fn(8, 8, |x, y| Rgb([(x * 30) as u8, (y * 30) as u8, 77]));
        for quality in [Quality::Brightness, Quality::Contrast, Quality::Saturation, Quality::Sharpness] {
            assert_eq!(enhance(&image, quality, 1.0), image);
        }
        assert!(enhance(&image, Quality::Brightness, 0.0).pixels().all(|p| p.0 == [0; 3]));
        assert!(enhance(&image, Quality::Saturation, 0.0).pixels().all(|p| p.0[0] == p.0[1]));
        let grey = enhance(&image, Quality::Contrast, 0.0);
        assert!(grey.pixels().all(|p| p == grey.get_pixel(0, 0)));
    }
}
