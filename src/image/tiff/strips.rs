//! Strips and tiles, put together to rows of samples.

use super::error::{malformed, unsupported};
use super::layout::Layout;
use super::unpack::{Compression, unpack};
use crate::image::directory::Directory;
use crate::image::{Error, Limits};

mod tag {
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_LENGTHS: u16 = 279;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_LENGTHS: u16 = 325;
}

/// How often the parts of a file may overlap, on average: each part may cost a pass over its bytes.
const MAX_OVERLAP: u64 = 4;

/// Most strips and tiles of an image: each costs a decoder of its own.
const MAX_PARTS: usize = 1 << 17;

/// How many times the pixels an image may have its tiles may hold together, those that reach beyond it included.
const MAX_PADDING: u64 = 4;

/// Where the parts of an image are, all of one size but the last in each direction.
struct Parts {
    width: usize,
    height: usize,
    /// Whether parts that reach beyond the image are stored whole.
    tiles: bool,
    /// Where in the file each one is, and how long.
    places: Vec<(u64, Option<u64>)>,
}

/// Reads all samples, one byte each or two in the file's order: one plane of interleaved samples.
pub(super) fn read(
    bytes: &[u8],
    directory: &Directory,
    layout: &Layout,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let parts = Parts::read(directory, layout, limits)?;
    let length: u64 = parts.places.iter().filter_map(|place| place.1).fold(0, u64::saturating_add);
    if length > MAX_OVERLAP * bytes.len() as u64 {
        return Err(malformed("has strips or tiles that are longer than the file"));
    }
    let size = layout.bits.div_ceil(8);
    let (across, down, planes) = (parts.across(layout), parts.down(layout), planes(layout));
    let padded = (across as u64 * parts.width as u64).saturating_mul(down as u64 * parts.height as u64);
    if padded > limits.max_pixels.saturating_mul(MAX_PADDING) {
        return Err(malformed("has tiles far larger than the image"));
    }
    let mut samples = vec![0; layout.width * layout.height * layout.samples * size];
    if parts.places.len() < across * down * planes {
        return Err(malformed(&format!(
            "has {} strips or tiles where its size needs {}",
            parts.places.len(),
            across * down * planes
        )));
    }
    let mut buffer = Vec::new();
    for (nth, &place) in parts.places.iter().take(across * down * planes).enumerate() {
        let (plane, at) = (nth / (across * down), nth % (across * down));
        let corner = (at % across * parts.width, at / across * parts.height);
        let part = Part {
            plane,
            corner,
            columns: (layout.width - corner.0).min(parts.width),
            rows: (layout.height - corner.1).min(parts.height),
        };
        let rows = if parts.tiles { parts.height } else { part.rows };
        let row = part.unpack(packed(bytes, place, layout)?, (parts.width, rows), layout, &mut buffer)?;
        part.put(&buffer, row, layout, &mut samples);
    }
    Ok(samples)
}

/// The bytes of a part. Without a length, uncompressed data extend to the end.
fn packed<'a>(
    bytes: &'a [u8],
    (from, length): (u64, Option<u64>),
    layout: &Layout,
) -> Result<&'a [u8], Error> {
    let from = usize::try_from(from).ok().and_then(|from| bytes.get(from..));
    let length = match (length, layout.compression) {
        (_, Compression::None) => return from.ok_or_else(|| malformed("has a strip or tile behind its end")),
        (Some(length), _) => usize::try_from(length).ok(),
        (None, _) => None,
    };
    let packed = from.zip(length).and_then(|(from, length)| from.get(..length));
    packed.ok_or_else(|| malformed("has a compressed strip or tile of no length, or behind its end"))
}

impl Parts {
    fn read(directory: &Directory, layout: &Layout, limits: &Limits) -> Result<Self, Error> {
        let tiles = !directory.has(tag::STRIP_OFFSETS) && directory.has(tag::TILE_OFFSETS);
        let (offsets, lengths) = match tiles {
            true => (tag::TILE_OFFSETS, tag::TILE_LENGTHS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_LENGTHS),
        };
        let (width, height) = match tiles {
            true => tile(directory, limits)?,
            false => {
                let rows = directory.number(tag::ROWS_PER_STRIP).unwrap_or(u64::MAX);
                let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(layout.height);
                (layout.width, rows)
            }
        };
        if height == 0 {
            return Err(malformed("has strips of 0 rows"));
        }
        let mut parts = Self { width, height, tiles, places: Vec::new() };
        let needed = parts.across(layout).saturating_mul(parts.down(layout)).saturating_mul(planes(layout));
        if needed > MAX_PARTS {
            return Err(malformed(&format!("has {needed} strips or tiles, more than {MAX_PARTS}")));
        }
        let offsets = directory.first_numbers(offsets, needed);
        let offsets = offsets.ok_or_else(|| malformed("has no strips or tiles"))?;
        let lengths = directory.first_numbers(lengths, needed).unwrap_or_default();
        let place = |(nth, &from): (usize, &u64)| (from, lengths.get(nth).copied());
        parts.places = offsets.iter().enumerate().map(place).collect();
        Ok(parts)
    }

    fn across(&self, layout: &Layout) -> usize {
        layout.width.div_ceil(self.width)
    }

    fn down(&self, layout: &Layout) -> usize {
        layout.height.div_ceil(self.height)
    }
}

fn planes(layout: &Layout) -> usize {
    if layout.separate { layout.samples } else { 1 }
}

/// The size of a tile, which must not need more memory than an image may.
fn tile(directory: &Directory, limits: &Limits) -> Result<(usize, usize), Error> {
    let side = |tag| directory.number(tag).and_then(|side| u32::try_from(side).ok()).filter(|&side| side > 0);
    let (width, height) =
        side(tag::TILE_WIDTH).zip(side(tag::TILE_HEIGHT)).ok_or_else(|| malformed("has tiles of no size"))?;
    limits.check_pixels(width, height)?;
    Ok((width as usize, height as usize))
}

/// The part of an image that a strip or tile shows.
struct Part {
    plane: usize,
    corner: (usize, usize),
    columns: usize,
    rows: usize,
}

impl Part {
    /// Unpacks a part into `buffer`. Returns the bytes of a row.
    fn unpack(
        &self,
        packed: &[u8],
        (width, height): (usize, usize),
        layout: &Layout,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let samples = if layout.separate { 1 } else { layout.samples };
        let row = (width * samples * layout.bits).div_ceil(8);
        buffer.resize(row * height, 0);
        // Without compression a part may have been given all that follows it.
        let packed = match layout.compression {
            Compression::None => packed.get(..buffer.len()).unwrap_or(packed),
            _ => packed,
        };
        if layout.reversed {
            let packed: Vec<u8> = packed.iter().map(|byte| byte.reverse_bits()).collect();
            unpack(layout.compression, &packed, width, buffer)?;
        } else {
            unpack(layout.compression, packed, width, buffer)?;
        }
        if layout.differences {
            buffer.chunks_exact_mut(row).try_for_each(|row| add_up(row, samples, layout))?;
        }
        Ok(row)
    }

    /// Copies the part inside the image to its place, each sample on bytes of its own.
    fn put(&self, buffer: &[u8], row: usize, layout: &Layout, samples: &mut [u8]) {
        let size = layout.bits.div_ceil(8);
        let pixel = layout.samples * size;
        for (y, stored) in buffer.chunks_exact(row).take(self.rows).enumerate() {
            let from = ((self.corner.1 + y) * layout.width + self.corner.0) * pixel;
            let target = &mut samples[from..from + self.columns * pixel];
            if layout.separate {
                let pixels = target.chunks_exact_mut(pixel).zip(stored.chunks_exact(size));
                pixels.for_each(|(pixel, sample)| pixel[self.plane * size..][..size].copy_from_slice(sample));
            } else if layout.bits < 8 {
                spread(stored, layout.bits, target);
            } else {
                target.copy_from_slice(&stored[..target.len()]);
            }
        }
    }
}

/// Gives samples of less than 8 bits bytes of their own.
fn spread(stored: &[u8], bits: usize, target: &mut [u8]) {
    let each = 8 / bits;
    for (nth, sample) in target.iter_mut().enumerate() {
        *sample = stored[nth / each] >> (8 - bits - bits * (nth % each)) & (0xFF >> (8 - bits));
    }
}

/// Makes samples of differences (TIFF 6.0, section 14).
fn add_up(row: &mut [u8], samples: usize, layout: &Layout) -> Result<(), Error> {
    match layout.bits {
        8 => {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
        }
        16 => {
            let number = if layout.little { u16::from_le_bytes } else { u16::from_be_bytes };
            let stored = if layout.little { u16::to_le_bytes } else { u16::to_be_bytes };
            let (row, _) = row.as_chunks_mut::<2>();
            for at in samples..row.len() {
                row[at] = stored(number(row[at]).wrapping_add(number(row[at - samples])));
            }
        }
        bits => return Err(unsupported(&format!("a predictor with {bits}-bit samples"))),
    }
    Ok(())
}
