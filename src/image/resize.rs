//! Pillow's resampling of 8-bit images, equal to the last bit.
//!
//! Rows are resampled and rounded to 8 bits, then columns. Pillow always did it in this order up to 12.1, when today's
//! backbones were trained; later versions begin with the columns when the height shrinks much more than the width.
//! The order matters because overshoot is clipped between the passes.

use std::ops::Range;

use image::{RgbImage, imageops};

use super::filter::{PRECISION, Tap, taps};
use super::geometry::Placement;
use super::{Error, Preprocessing};

/// Longest side that is resampled, in pixels: what JPEG and GIF can declare. Weights take memory by length.
const MAX_SIDE: u32 = 65_535;

/// Pixels that the image between the passes may always have, however small its source.
const MIN_INTERMEDIATE: u64 = 1 << 24;

/// Half a level, so that dropping the fraction rounds to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// Resamples `image` into a black square of the preprocessing's size.
pub(super) fn resample(
    image: &RgbImage,
    placement: &Placement,
    preprocessing: &Preprocessing,
) -> Result<RgbImage, Error> {
    let Placement { horizontal, vertical } = placement;
    let side = preprocessing.image_size;
    let (width, height) = image.dimensions();
    if width.max(height) > MAX_SIDE {
        return Err(Error::TooElongated { width, height, image_size: side });
    }
    let down = taps(vertical, preprocessing.interpolation);
    let needed = reach(&down);
    let allowed = (u64::from(width) * u64::from(height)).max(MIN_INTERMEDIATE);
    if u64::from(horizontal.target) * needed.len() as u64 > allowed {
        return Err(Error::TooElongated { width, height, image_size: side });
    }
    let band = resample_rows(image, &needed, &taps(horizontal, preprocessing.interpolation));
    let resized = resample_columns(&band, needed.start, &down);
    Ok(on_black(resized, placement, side))
}

/// The rows that some tap reads; all others need no work.
fn reach(taps: &[Tap]) -> Range<usize> {
    let first = taps.iter().map(|tap| tap.first).min().unwrap_or(0);
    let end = taps.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(0);
    first..end
}

/// Resamples some rows of an image to as many columns as there are taps.
fn resample_rows(image: &RgbImage, rows: &Range<usize>, taps: &[Tap]) -> RgbImage {
    let mut band = RgbImage::new(taps.len() as u32, rows.len() as u32);
    let sources = image.as_raw().chunks_exact(3 * image.width() as usize).skip(rows.start);
    for (target, source) in band.chunks_exact_mut(3 * taps.len()).zip(sources) {
        let (targets, _) = target.as_chunks_mut::<3>();
        let (pixels, _) = source.as_chunks::<3>();
        for (target, tap) in targets.iter_mut().zip(taps) {
            let mut sums = [HALF; 3];
            for (pixel, weight) in pixels[tap.first..].iter().zip(&tap.weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(sample) * weight;
                }
            }
            *target = sums.map(level);
        }
    }
    band
}

/// Resamples a band of rows, which begins at row `first` of its image, to as many rows as there are taps.
fn resample_columns(band: &RgbImage, first: usize, taps: &[Tap]) -> RgbImage {
    let stride = 3 * band.width() as usize;
    let mut resized = RgbImage::new(band.width(), taps.len() as u32);
    let mut sums = vec![HALF; stride];
    for (target, tap) in resized.chunks_exact_mut(stride).zip(taps) {
        sums.fill(HALF);
        let sources = band.as_raw().chunks_exact(stride).skip(tap.first - first);
        for (source, &weight) in sources.zip(&tap.weights) {
            for (sum, &sample) in sums.iter_mut().zip(source) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (sample, &sum) in target.iter_mut().zip(&sums) {
            *sample = level(sum);
        }
    }
    resized
}

/// Drops the fraction and clips overshoot.
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Puts what was resized into the square, when it does not fill it.
fn on_black(resized: RgbImage, placement: &Placement, side: u32) -> RgbImage {
    if resized.dimensions() == (side, side) {
        return resized;
    }
    let mut square = RgbImage::new(side, side);
    let (x, y) = (placement.horizontal.offset, placement.vertical.offset);
    imageops::replace(&mut square, &resized, i64::from(x), i64::from(y));
    square
}
