//! GIF: its first frame on its screen, as Pillow shows it.

use std::borrow::Cow;
use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::RgbImage;

use super::palette::Palette;
use super::{Error, Format, Limits};

/// Bytes up to the flags of the screen, and up to what follows it.
const FLAGS: usize = 10;
const HEADER: usize = 13;

/// Decodes the first frame.
///
/// A frame that reaches beyond its screen makes the screen larger. What the frame leaves of the screen has the frame's
/// transparent value or, without one, the value 0; the background that the file names plays no part.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let bytes = with_palette(bytes);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(
        limits
            .of_decoder()
            .max_alloc
            .and_then(std::num::NonZeroU64::new)
            .map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let mut decoder = options.read_info(Cursor::new(&bytes)).map_err(broken)?;
    let screen = (u32::from(decoder.width()), u32::from(decoder.height()));
    limits.check_pixels(screen.0, screen.1)?;
    let global = decoder.global_palette().filter(|colours| !is_ramp(colours)).map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(broken)?.ok_or_else(|| malformed("has no frame"))?.clone();
    let place = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let [left, top, width, height] = place;
    let size = (screen.0.max(left + width), screen.1.max(top + height));
    limits.check_pixels(size.0, size.1)?;
    if width == 0 || height == 0 {
        return Err(malformed(&format!("has a frame of {width}x{height} pixels")));
    }
    let mut values = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut values).map_err(broken)?;
    let own = frame.palette.as_ref().filter(|colours| !is_ramp(colours));
    let colours = own.or(global.as_ref());
    let mut palette = colours.map_or_else(Palette::grey, |colours| Palette::new(colours, 3, [0, 1, 2]));
    if let Some(transparent) = frame.transparent {
        palette.0[usize::from(transparent)][3] = 0;
    }
    Ok(on_screen(&values, place, size, frame.transparent.unwrap_or(0), &palette))
}

/// Whether a palette makes each value the grey of its number. Pillow ignores such a palette of a frame.
fn is_ramp(colours: &[u8]) -> bool {
    colours
        .as_chunks::<3>()
        .0
        .iter()
        .enumerate()
        .all(|(value, colour)| colour.iter().all(|&level| level as usize == value))
}

/// Gives a file without colours for all frames a ramp of grey, which its frames may need.
fn with_palette(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.len() < HEADER || bytes[FLAGS] & 0x80 != 0 {
        return bytes.into();
    }
    let (header, rest) = bytes.split_at(HEADER);
    let mut header = header.to_vec();
    header[FLAGS] |= 0x87;
    let ramp = (0..=255_u8).flat_map(|level| [level; 3]);
    header.into_iter().chain(ramp).chain(rest.iter().copied()).collect::<Vec<_>>().into()
}

/// Puts a frame's values on a screen of one value.
fn on_screen(
    values: &[u8],
    [left, top, width, _]: [u32; 4],
    size: (u32, u32),
    around: u8,
    palette: &Palette,
) -> RgbImage {
    let colours = palette.over_white();
    let mut image = RgbImage::from_pixel(size.0, size.1, image::Rgb(colours[usize::from(around)]));
    let (rows, from) = (3 * size.0 as usize, 3 * left as usize);
    let targets = image.chunks_exact_mut(rows).skip(top as usize);
    for (target, values) in targets.zip(values.chunks_exact(width as usize)) {
        let (pixels, _) = target[from..].as_chunks_mut::<3>();
        for (pixel, &value) in pixels.iter_mut().zip(values) {
            *pixel = colours[usize::from(value)];
        }
    }
    image
}

fn broken(error: DecodingError) -> Error {
    malformed(&error.to_string())
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Gif, reason: reason.into() }
}
