//! BMP: Windows' and OS/2's bitmaps, in the forms that Pillow reads.

use image::RgbImage;

use super::directory::unsigned;
use super::flatten::over_white;
use super::palette::Palette;
use super::{Error, Format, Limits, bmp_runs};

/// Bytes of the file's header, in front of the bitmap's.
const FILE_HEADER: usize = 14;

/// Headers of this length are OS/2's first: sizes of 16 bits, colours of 3 bytes.
const OS2: usize = 12;

const RUNS_8: u64 = 1;
const RUNS_4: u64 = 2;
const MASKS: u64 = 3;

/// How a pixel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pixel {
    /// An index into the palette, of this many bits.
    Value(usize),
    /// 16 bits, of which this many are green; red and blue have five each.
    Short { green: u32 },
    /// Bytes: how many, where red, green and blue are, and alpha.
    Bytes { count: usize, order: [usize; 3], alpha: Option<usize> },
}

struct Header {
    width: usize,
    height: usize,
    from_top: bool,
    pixel: Pixel,
    compression: u64,
    palette: Palette,
    /// Where the pixels are.
    at: usize,
}

/// Decodes a bitmap.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let header = Header::read(bytes, limits)?;
    let body = bytes.get(header.at..).unwrap_or_default();
    let mut image = RgbImage::new(header.width as u32, header.height as u32);
    let colours = header.palette.over_white();
    if matches!(header.compression, RUNS_8 | RUNS_4) {
        let size = header.width * header.height;
        let values = bmp_runs::unpack(body, header.width, size, header.compression == RUNS_4, header.at % 2);
        let values = values.ok_or_else(|| malformed("ends inside its runs"))?;
        for (target, values) in header.rows(&mut image).zip(values.chunks_exact(header.width)) {
            for (pixel, &value) in target.as_chunks_mut::<3>().0.iter_mut().zip(values) {
                *pixel = colours[usize::from(value)];
            }
        }
        return Ok(image);
    }
    let stride = (header.width * header.pixel.bits()).div_ceil(32) * 4;
    let used = (header.width * header.pixel.bits()).div_ceil(8);
    let needed = stride * (header.height - 1) + used;
    let body = body.get(..needed).ok_or_else(|| malformed("ends before its last pixel"))?;
    for (target, row) in header.rows(&mut image).zip(body.chunks(stride)) {
        header.pixel.row(row, target.as_chunks_mut::<3>().0, &colours);
    }
    Ok(image)
}

impl Header {
    fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let number = |at: usize, size: usize| {
            let field = bytes.get(at..at + size);
            field.map(|field| unsigned(field, true)).ok_or_else(|| malformed("ends inside its header"))
        };
        let length = number(FILE_HEADER, 4)? as usize;
        let os2 = length == OS2;
        if !matches!(length, OS2 | 40 | 52 | 56 | 64 | 108 | 124) {
            return Err(unsupported(&format!("a header of {length} bytes")));
        }
        number(FILE_HEADER + length - 1, 1)?;
        let (width, stored, bits, compression) = match os2 {
            true => (number(18, 2)?, number(20, 2)?, number(24, 2)?, 0),
            false => (number(18, 4)?, number(22, 4)?, number(28, 2)?, number(30, 4)?),
        };
        let from_top = !os2 && stored >> 24 == 0xFF;
        let height = if from_top { (1 << 32) - stored } else { stored };
        limits.check_pixels(width as u32, height as u32)?;
        if width == 0 || height == 0 {
            return Err(malformed(&format!("declares a size of {width}x{height} pixels")));
        }
        let pixel = Pixel::new(bits, compression, bytes, length)?;
        let named = if os2 { 0 } else { number(46, 4)? };
        let colours = if named == 0 { 1 << bits.min(16) } else { named };
        let step = if os2 { 3 } else { 4 };
        let masks = if length == 40 && compression == MASKS { 12 } else { 0 };
        let (palette, behind) = palette(bytes, FILE_HEADER + length + masks, (pixel, colours), step)?;
        let mut at = number(10, 4)? as usize;
        if at == FILE_HEADER + length && bits <= 8 {
            at = behind; // some writers forget the palette
        }
        let at = if at == 0 { behind } else { at };
        Ok(Self { width: width as usize, height: height as usize, from_top, pixel, compression, palette, at })
    }

    /// The rows of an image in the order in which the file has them.
    fn rows<'a>(&self, image: &'a mut RgbImage) -> Box<dyn Iterator<Item = &'a mut [u8]> + 'a> {
        let rows = image.chunks_exact_mut(3 * self.width);
        if self.from_top { Box::new(rows) } else { Box::new(rows.rev()) }
    }
}

/// Reads a palette, if pixels need one. Returns it, and where it ends.
fn palette(
    bytes: &[u8],
    from: usize,
    (pixel, colours): (Pixel, u64),
    step: usize,
) -> Result<(Palette, usize), Error> {
    if !matches!(pixel, Pixel::Value(_)) {
        return Ok((Palette::grey(), from));
    }
    if colours > 65_536 {
        return Err(unsupported(&format!("a palette of {colours} colours")));
    }
    let end = from + step * colours as usize;
    let stored = bytes.get(from..end.min(bytes.len())).unwrap_or_default();
    Ok((Palette::new(stored, step, [2, 1, 0]), end))
}

impl Pixel {
    fn new(bits: u64, compression: u64, bytes: &[u8], length: usize) -> Result<Self, Error> {
        match (compression, bits) {
            (0, 1 | 4 | 8) | (RUNS_8 | RUNS_4, 4 | 8) => Ok(Self::Value(bits as usize)),
            (0, 16) => Ok(Self::Short { green: 5 }),
            (0, 24) => Ok(Self::Bytes { count: 3, order: [2, 1, 0], alpha: None }),
            (0, 32) => Ok(Self::Bytes { count: 4, order: [2, 1, 0], alpha: None }),
            (MASKS, 16 | 24 | 32) => Self::of_masks(bits, bytes, length),
            (4, _) => Err(unsupported("JPEG compression")),
            (5, _) => Err(unsupported("PNG compression")),
            (0..=3, _) => Err(unsupported(&format!("{bits}-bit pixels with compression {compression}"))),
            _ => Err(unsupported(&format!("compression {compression}"))),
        }
    }

    /// The masks that Pillow knows: whole bytes, or five and six bits of 16.
    fn of_masks(bits: u64, bytes: &[u8], length: usize) -> Result<Self, Error> {
        let with_alpha = bits == 32 && length >= 56;
        let masks = bytes
            .get(54..if with_alpha { 70 } else { 66 })
            .ok_or_else(|| malformed("ends inside its masks"))?;
        let mut mask = masks.as_chunks::<4>().0.iter().map(|&mask| u32::from_le_bytes(mask));
        let masks: [u32; 4] = std::array::from_fn(|_| mask.next().unwrap_or(0));
        let pixel = match (bits, masks) {
            (16, [0xF800, 0x7E0, 0x1F, _]) => Some(Self::Short { green: 6 }),
            (16, [0x7C00, 0x3E0, 0x1F, _]) => Some(Self::Short { green: 5 }),
            (24, [0xFF_0000, 0xFF00, 0xFF, _]) => {
                Some(Self::Bytes { count: 3, order: [2, 1, 0], alpha: None })
            }
            (32, masks) => match masks {
                [0xFF_0000, 0xFF00, 0xFF, 0] => Some(([2, 1, 0], None)),
                [0xFF00_0000, 0xFF_0000, 0xFF00, 0] => Some(([3, 2, 1], None)),
                [0xFF00_0000, 0xFF00, 0xFF, 0] => Some(([3, 1, 0], None)),
                [0xFF00_0000, 0xFF_0000, 0xFF00, 0xFF] => Some(([3, 2, 1], Some(0))),
                [0xFF, 0xFF00, 0xFF_0000, 0xFF00_0000] => Some(([0, 1, 2], Some(3))),
                [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000] | [0, 0, 0, 0] => Some(([2, 1, 0], Some(3))),
                [0xFF00_0000, 0xFF00, 0xFF, 0xFF_0000] => Some(([3, 1, 0], Some(2))),
                _ => None,
            }
            .map(|(order, alpha)| Self::Bytes { count: 4, order, alpha }),
            _ => None,
        };
        pixel.ok_or_else(|| unsupported(&format!("{bits}-bit pixels with the masks {masks:08x?}")))
    }

    fn bits(self) -> usize {
        match self {
            Self::Value(bits) => bits,
            Self::Short { .. } => 16,
            Self::Bytes { count, .. } => 8 * count,
        }
    }

    fn row(self, row: &[u8], target: &mut [[u8; 3]], colours: &[[u8; 3]; 256]) {
        match self {
            Self::Value(bits) => {
                let each = 8 / bits;
                for (nth, pixel) in target.iter_mut().enumerate() {
                    let value = row[nth / each] >> (8 - bits - bits * (nth % each)) & (0xFF >> (8 - bits));
                    *pixel = colours[usize::from(value)];
                }
            }
            Self::Short { green } => {
                for (pixel, &stored) in target.iter_mut().zip(row.as_chunks::<2>().0) {
                    let stored = u32::from(u16::from_le_bytes(stored));
                    let level = |from: u32, bits: u32| {
                        let most = (1 << bits) - 1;
                        ((stored >> from & most) * 255 / most) as u8 // at most 255
                    };
                    *pixel = [level(5 + green, 5), level(5, green), level(0, 5)];
                }
            }
            Self::Bytes { count, order, alpha } => {
                for (pixel, stored) in target.iter_mut().zip(row.chunks_exact(count)) {
                    let [red, green, blue] = order.map(|at| stored[at]);
                    *pixel = over_white([red, green, blue, alpha.map_or(255, |at| stored[at])]);
                }
            }
        }
    }
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Bmp, reason: reason.into() }
}

fn unsupported(feature: &str) -> Error {
    Error::UnsupportedFeature { format: Format::Bmp, feature: feature.into() }
}
