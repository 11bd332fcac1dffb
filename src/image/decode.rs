//! From encoded bytes to an upright 8-bit RGB image.

use std::io::Cursor;

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder,
};
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageResult, RgbImage};

use super::{Error, Format, Limits, flatten, jpeg, orientation, tiff, webp};

/// Decodes an image of any [`Format`] into 8-bit RGB, the right way up.
///
/// The answer is that of Pillow's `ImageOps.exif_transpose(image).convert("RGB")`, with transparency composited on
/// white and 16-bit samples cut to their high byte. PNG, BMP, GIF, WebP and TIFF are exact, but for CMYK, which is
/// within one level of 255. JPEG is within two levels, within five where colour is stored at half resolution, because
/// its inverse transform and upsampling are not libjpeg-turbo's; there the last column is upsampled with the encoder's
/// padding and is within 43 on colour noise, as are images less than five pixels wide within 89. Colour profiles are
/// not applied, as Pillow does not apply them.
///
/// # Errors
/// [`Error::Empty`], [`Error::TooManyBytes`] and [`Error::TooLarge`] from the header alone;
/// [`Error::UnsupportedFormat`] and [`Error::UnsupportedFeature`] for what cannot be decoded exactly;
/// [`Error::Malformed`] for the rest, a truncated image included.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    limits.check_bytes(bytes)?;
    let format = Format::sniff(bytes)?;
    let source = Cursor::new(bytes);
    match format {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => {
            check_png(bytes, limits)?;
            still(format, PngDecoder::with_limits(source, limits.of_decoder()), limits)
        }
        Format::WebP => {
            let form = webp::check(bytes, limits)?;
            still(format, WebPDecoder::new(Cursor::new(form)), limits)
        }
        Format::Bmp => still(format, BmpDecoder::new(source), limits),
        Format::Gif => still(format, GifDecoder::new(source), limits),
        Format::Tiff => {
            tiff::check(bytes)?;
            still(format, TiffDecoder::new(source), limits)
        }
    }
}

/// Checks the size in PNG's first chunk, which the decoder would call too much memory and not too many pixels.
fn check_png(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let Some([width, height]) = bytes.get(16..24).map(|size| size.as_chunks::<4>().0) else { return Ok(()) };
    limits.check_pixels(u32::from_be_bytes(*width), u32::from_be_bytes(*height))
}

/// Decodes the one image, or the first frame, that an opened decoder holds.
fn still(format: Format, opened: ImageResult<impl ImageDecoder>, limits: &Limits) -> Result<RgbImage, Error> {
    let fail = |error| refusal(format, error);
    let mut decoder = opened.map_err(fail)?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(width, height)?;
    if width == 0 || height == 0 {
        return Err(Error::Malformed {
            format,
            reason: format!("declares a size of {width}x{height} pixels"),
        });
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Error::UnsupportedFeature { format, feature: "floating-point samples".into() });
    }
    decoder.set_limits(limits.of_decoder()).map_err(fail)?;
    let turn = decoder.orientation().map_err(fail)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(fail)?;
    Ok(orientation::upright(flatten::to_rgb8(decoded), turn))
}

/// Tells what the decoder does not know from what is broken.
fn refusal(format: Format, error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(unsupported) => {
            Error::UnsupportedFeature { format, feature: unsupported.to_string() }
        }
        other => Error::Malformed { format, reason: other.to_string() },
    }
}
