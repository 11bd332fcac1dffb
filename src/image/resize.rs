//! Pillow's resampling of 8-bit images, equal to the last bit.
//!
//! Rows are resampled and rounded to 8 bits, then columns. Pillow always did it in this order up to 12.1, when today's
//! backbones were trained; later versions begin with the columns when the height shrinks much more than the width.
//! The order matters because overshoot is clipped between the passes.

use std::ops::Range;

use image::{ImageBuffer, Rgb, RgbImage, imageops};
use multiversion::multiversion;

use super::filter::{PRECISION, Tap, taps};
use super::geometry::Placement;
use super::{Error, Preprocessing};

/// Longest side that is resampled, in pixels: what JPEG and GIF can declare. Weights take memory by length.
const MAX_SIDE: u32 = 65_535;

/// Pixels that the image between the passes may always have, however small its source.
const MIN_INTERMEDIATE: u64 = 1 << 24;

/// Half a level, so that dropping the fraction rounds to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// A square of the backbone's size, in memory of somebody else's.
pub(super) type Square<'a> = ImageBuffer<Rgb<u8>, &'a mut [u8]>;

/// Resamples `image` into a square of the preprocessing's size, black where it does not fill it.
pub(super) fn resample(
    image: &RgbImage,
    placement: &Placement,
    preprocessing: &Preprocessing,
    square: &mut Square<'_>,
) -> Result<(), Error> {
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
    if (band.width(), down.len()) == (side, side as usize) {
        resample_columns(&band, needed.start, &down, square);
        return Ok(());
    }
    let mut resized = RgbImage::new(band.width(), down.len() as u32);
    resample_columns(&band, needed.start, &down, &mut resized);
    let (x, y) = (horizontal.offset, vertical.offset);
    square.fill(0);
    imageops::replace(square, &resized, i64::from(x), i64::from(y));
    Ok(())
}

/// The rows that some tap reads; all others need no work.
fn reach(taps: &[Tap]) -> Range<usize> {
    let first = taps.iter().map(|tap| tap.first).min().unwrap_or(0);
    let end = taps.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(0);
    first..end
}

/// Rows of an image that are turned into columns at once.
const ROWS: usize = 32;

/// Resamples some rows of an image to as many columns as there are taps, by turning blocks of it onto their side: there
/// a tap weighs whole lines, as for columns.
fn resample_rows(image: &RgbImage, rows: &Range<usize>, taps: &[Tap]) -> RgbImage {
    let (source, target) = (3 * image.width() as usize, 3 * taps.len());
    let mut band = RgbImage::new(taps.len() as u32, rows.len() as u32);
    let mut lying = vec![0; source * ROWS];
    let mut resampled = vec![0; target * ROWS];
    let blocks = image.as_raw()[source * rows.start..source * rows.end].chunks(source * ROWS);
    for (targets, sources) in band.chunks_mut(target * ROWS).zip(blocks) {
        for (row, source) in sources.chunks_exact(source).enumerate() {
            let lines = lying.chunks_exact_mut(3 * ROWS);
            source
                .chunks_exact(3)
                .zip(lines)
                .for_each(|(pixel, line)| line[3 * row..][..3].copy_from_slice(pixel));
        }
        weigh_lines(&lying, 0, taps, (&mut resampled, 3 * ROWS));
        for (row, target) in targets.chunks_exact_mut(target).enumerate() {
            let lines = resampled.chunks_exact(3 * ROWS);
            target
                .chunks_exact_mut(3)
                .zip(lines)
                .for_each(|(pixel, line)| pixel.copy_from_slice(&line[3 * row..][..3]));
        }
    }
    band
}

/// Resamples a band of rows, which begins at row `first` of its image, to as many rows as there are taps.
fn resample_columns(band: &RgbImage, first: usize, taps: &[Tap], resized: &mut [u8]) {
    weigh_lines(band.as_raw(), first, taps, (resized, 3 * band.width() as usize));
}

/// The lines that taps make of others, of which `first` is the first.
#[multiversion(targets("x86_64+avx2"))]
fn weigh_lines(sources: &[u8], first: usize, taps: &[Tap], (targets, length): (&mut [u8], usize)) {
    let mut sums = vec![HALF; length];
    for (target, tap) in targets.chunks_exact_mut(length).zip(taps) {
        sums.fill(HALF);
        let sources = sources.chunks_exact(length).skip(tap.first - first);
        for (source, &weight) in sources.zip(&tap.weights) {
            for (sum, &sample) in sums.iter_mut().zip(source) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (sample, &sum) in target.iter_mut().zip(&sums) {
            *sample = level(sum);
        }
    }
}

/// Drops the fraction and clips overshoot.
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
