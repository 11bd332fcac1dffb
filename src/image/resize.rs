//! Pillow's resampling.
//!
//! Pillow resamples rows, rounds to 8 bits, then resamples columns. `fast_image_resize` does 8-bit images the other way
//! round, which moves the rounding and the clipping of overshoot, so each pass is asked for by itself.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{RgbImage, imageops};

use super::geometry::{Placement, Span};
use super::{Error, Interpolation, Preprocessing};

/// Longest side that is resampled, in pixels: what JPEG and GIF can declare. The filter's taps take memory by length.
const MAX_SIDE: u32 = 65_535;

/// Pixels that an image between the passes may always have, however small its source.
const MIN_INTERMEDIATE: u64 = 1 << 24;

/// Resamples `image` into a black square of the preprocessing's size.
pub(super) fn resample(
    image: &RgbImage,
    placement: &Placement,
    preprocessing: &Preprocessing,
) -> Result<RgbImage, Error> {
    let Placement { horizontal, vertical } = *placement;
    let filter = Filter::new(preprocessing.interpolation);
    let rows = filter.reach(&vertical, image.height());
    check_cost(image, u64::from(horizontal.target) * u64::from(rows.count), preprocessing.image_size)?;
    let band =
        Span { start: f64::from(rows.first), length: f64::from(rows.count), target: rows.count, offset: 0 };
    let narrowed = filter.pass(image, &horizontal, &band)?;
    let all = Span { start: 0.0, length: f64::from(horizontal.target), target: horizontal.target, offset: 0 };
    let shifted = Span { start: vertical.start - band.start, ..vertical };
    let resized = filter.pass(&narrowed, &all, &shifted)?;
    Ok(on_black(resized, placement, preprocessing.image_size))
}

/// Refuses what would need far more memory than the image has.
fn check_cost(image: &RgbImage, intermediate: u64, image_size: u32) -> Result<(), Error> {
    let (width, height) = image.dimensions();
    let allowed = (u64::from(width) * u64::from(height)).max(MIN_INTERMEDIATE);
    if width.max(height) > MAX_SIDE || intermediate > allowed {
        return Err(Error::TooElongated { width, height, image_size });
    }
    Ok(())
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

/// A run of whole rows.
struct Rows {
    first: u32,
    count: u32,
}

/// A filter and how far it reaches, in pixels, when it does not shrink (Pillow's `Resample.c`).
struct Filter {
    kind: FilterType,
    support: f64,
}

impl Filter {
    fn new(interpolation: Interpolation) -> Self {
        let (kind, support) = match interpolation {
            Interpolation::Bicubic => (FilterType::CatmullRom, 2.0),
            Interpolation::Bilinear => (FilterType::Bilinear, 1.0),
            Interpolation::Lanczos3 => (FilterType::Lanczos3, 3.0),
        };
        Self { kind, support }
    }

    /// The rows of a source of `height` that resampling `span` reads.
    fn reach(&self, span: &Span, height: u32) -> Rows {
        let radius = self.support * (span.length / f64::from(span.target)).max(1.0);
        let first = (span.start - radius).floor().max(0.0) as u32;
        let end = (span.start + span.length + radius).ceil().min(f64::from(height)) as u32;
        Rows { first, count: end - first }
    }

    /// Resamples one rectangle; an axis whose span keeps its pixels is left alone.
    fn pass(&self, image: &RgbImage, horizontal: &Span, vertical: &Span) -> Result<RgbImage, Error> {
        let (width, height) = image.dimensions();
        let fail = |reason: String| Error::Resample { width, height, reason };
        let mut target = RgbImage::new(horizontal.target, vertical.target);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(self.kind)).crop(
            horizontal.start,
            vertical.start,
            horizontal.length,
            vertical.length,
        );
        let from =
            ImageRef::new(width, height, image.as_raw(), PixelType::U8x3).map_err(|e| fail(e.to_string()))?;
        let mut to = Image::from_slice_u8(horizontal.target, vertical.target, &mut target, PixelType::U8x3)
            .map_err(|e| fail(e.to_string()))?;
        Resizer::new().resize(&from, &mut to, &options).map_err(|e| fail(e.to_string()))?;
        Ok(target)
    }
}
