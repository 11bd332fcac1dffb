//! Turns every layout that a decoder gives into 8-bit RGB without transparency.

use image::{DynamicImage, ImageBuffer, Pixel, RgbImage};

/// What shows through transparent pixels: white, the page an image is drawn on.
const BACKGROUND: u32 = 255;

/// Converts to 8-bit RGB: 16-bit samples keep their high byte, grey is repeated, alpha is composited on white.
pub(super) fn to_rgb8(image: DynamicImage) -> RgbImage {
    let image = high_bytes(image);
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        to.0 = over_white(from.0);
    }
    rgb
}

/// Composites a pixel with alpha on white.
pub(super) fn over_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    [red, green, blue].map(|sample| over_background(sample, alpha))
}

/// A sample of RGB from an ink and the black over it, as Pillow computes it: `(1 - ink) * (1 - black)`.
pub(super) fn ink_over_black(ink: u8, black: u8) -> u8 {
    let light = 255 - black;
    light.saturating_sub(times(ink, light))
}

/// A product of two shares of 255, rounded as Pillow rounds it.
fn times(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8 // at most 255: a product of shares
}

/// Composites one sample on the background, rounded to nearest.
fn over_background(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    ((sample * alpha + BACKGROUND * (255 - alpha) + 127) / 255) as u8 // at most 255: a weighted mean of bytes
}

/// Cuts 16-bit samples to their high byte, as Pillow does; the `image` crate's own conversion would round.
fn high_bytes(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma16(image) => DynamicImage::ImageLuma8(cut(&image)),
        DynamicImage::ImageLumaA16(image) => DynamicImage::ImageLumaA8(cut(&image)),
        DynamicImage::ImageRgb16(image) => DynamicImage::ImageRgb8(cut(&image)),
        DynamicImage::ImageRgba16(image) => DynamicImage::ImageRgba8(cut(&image)),
        other => other,
    }
}

fn cut<Wide, Narrow>(image: &ImageBuffer<Wide, Vec<u16>>) -> ImageBuffer<Narrow, Vec<u8>>
where
    Wide: Pixel<Subpixel = u16>,
    Narrow: Pixel<Subpixel = u8>,
{
    let mut narrow = ImageBuffer::new(image.width(), image.height());
    for (to, from) in narrow.iter_mut().zip(image.iter()) {
        *to = (from >> 8) as u8; // the high byte fits by construction
    }
    narrow
}
