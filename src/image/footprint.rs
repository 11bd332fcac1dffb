//! What decoding an image will take, by its header.

use std::io::Cursor;

use image::{ImageDecoder, ImageReader};

use super::Limits;

/// Bytes a pixel takes once decoded, 8-bit RGB.
const RGB: u64 = 3;

/// About how much memory decoding takes at its peak, bytes: the samples as stored, once more as they are turned or
/// flattened, and the RGB made of them. 0 where the header cannot be read or declares more than the limits allow, since
/// then [`decode`](super::decode) takes nothing.
pub fn footprint(bytes: &[u8], limits: &Limits) -> u64 {
    let decoder =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok().map(ImageReader::into_decoder);
    let Some(Ok(decoder)) = decoder else { return 0 };
    let (width, height) = decoder.dimensions();
    if limits.check_pixels(width, height).is_err() {
        return 0;
    }
    let pixels = u64::from(width) * u64::from(height);
    decoder.total_bytes().saturating_mul(2).saturating_add(pixels.saturating_mul(RGB))
}
