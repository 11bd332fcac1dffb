//! What a TIFF's tags say about its samples. Anything this decoder does not support is refused by name.

use super::error::{malformed, unsupported};
use super::unpack::Compression;
use crate::image::directory::Directory;
use crate::image::palette::Palette;
use crate::image::{Error, Limits};

mod tag {
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const SAMPLES: u16 = 277;
    pub const PLANES: u16 = 284;
    pub const PREDICTOR: u16 = 317;
    pub const COLOURS: u16 = 320;
    pub const EXTRA: u16 = 338;
    pub const FORMAT: u16 = 339;
    pub const ALL: [u16; 12] = [
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        SAMPLES,
        PLANES,
        PREDICTOR,
        COLOURS,
        EXTRA,
        FORMAT,
    ];
}

/// Most samples a pixel may have; Pillow reads no more.
const MAX_SAMPLES: usize = 6;

/// What the first samples of a pixel are.
pub(super) enum Colours {
    Grey { white_is_zero: bool },
    Palette(Box<Palette>),
    Rgb,
    Cmyk,
}

/// What the sample behind the colours is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    /// Colours are as they are.
    Separate,
    /// Colours are multiplied by it already.
    Associated,
}

pub(super) struct Layout {
    pub width: usize,
    pub height: usize,
    /// Bits of each sample: 1, 2, 4, 8 or 16.
    pub bits: usize,
    /// Samples of each pixel.
    pub samples: usize,
    pub colours: Colours,
    pub alpha: Alpha,
    pub compression: Compression,
    /// Whether each sample is stored as its difference from the pixel before.
    pub differences: bool,
    /// Whether the lowest bit of a byte comes first.
    pub reversed: bool,
    /// Whether each sample has strips of its own.
    pub separate: bool,
    pub little: bool,
}

impl Layout {
    /// Reads the tags. The size is checked before anything is decoded.
    pub fn read(directory: &Directory, limits: &Limits) -> Result<Self, Error> {
        if let Some(tag) =
            tag::ALL.into_iter().find(|&tag| directory.has(tag) && directory.number(tag).is_none())
        {
            return Err(malformed(&format!("has a tag {tag} that is not an integer of 16 bits or more")));
        }
        let size = |tag, name: &str| {
            let value = directory.number(tag).and_then(|value| u32::try_from(value).ok());
            value.filter(|&value| value > 0).ok_or_else(|| malformed(&format!("declares no {name}")))
        };
        let (width, height) = (size(tag::WIDTH, "width")?, size(tag::HEIGHT, "height")?);
        limits.check_pixels(width, height)?;
        let one = |tag, default| directory.number(tag).unwrap_or(default);
        let (bits, samples, extra) = samples(directory)?;
        let photometric = one(tag::PHOTOMETRIC, 0);
        let compression = Compression::of(one(tag::COMPRESSION, 1))?;
        check_format(directory)?;
        let colours = colours(directory, photometric, bits)?;
        let of_colour = match colours {
            Colours::Rgb => 3,
            Colours::Cmyk => 4,
            _ => 1,
        };
        let layout = Self {
            width: width as usize,
            height: height as usize,
            bits,
            samples,
            alpha: alpha(&colours, &extra, samples - of_colour.min(samples))?,
            colours,
            differences: differences(one(tag::PREDICTOR, 1), compression)?,
            compression,
            reversed: one(tag::FILL_ORDER, 1) == 2,
            separate: one(tag::PLANES, 1) == 2 && samples > 1,
            little: directory.little,
        };
        if samples < of_colour {
            return Err(malformed(&format!(
                "has {samples} samples a pixel where its colours need {of_colour}"
            )));
        }
        layout.check()
    }

    /// Refuses combinations that Pillow reads otherwise than they are meant, or not at all.
    fn check(self) -> Result<Self, Error> {
        let grey = matches!(self.colours, Colours::Grey { .. });
        if let Colours::Grey { white_is_zero: true } = self.colours
            && (self.bits == 16 || self.samples > 1)
        {
            return Err(unsupported("white as zero with 16-bit samples or with alpha"));
        }
        if self.samples > 1
            && (self.bits < 8 || self.bits == 16 && !matches!(self.colours, Colours::Rgb | Colours::Cmyk))
        {
            return Err(unsupported(&format!("{} samples a pixel of {} bits", self.samples, self.bits)));
        }
        if self.bits == 16 && (self.separate || self.reversed || self.samples > 4) {
            return Err(unsupported(
                "16-bit samples in separate planes, in reversed bit order or with extra samples",
            ));
        }
        if self.bits == 16 && !grey && !matches!(self.colours, Colours::Rgb | Colours::Cmyk) {
            return Err(unsupported("a palette with 16-bit samples"));
        }
        if self.reversed && self.samples > 1 && (self.samples != 3 || self.separate) {
            return Err(unsupported("reversed bit order with alpha, with CMYK or in separate planes"));
        }
        if self.separate
            && !matches!(
                (&self.colours, self.alpha),
                (Colours::Rgb | Colours::Cmyk, Alpha::None | Alpha::Separate)
            )
        {
            return Err(unsupported("separate planes of grey with alpha or of associated alpha"));
        }
        Ok(self)
    }
}

/// Most numbers of a list that an error shows.
const SHOWN: usize = 8;

/// Bits a sample, samples a pixel, and what those behind the colours are.
fn samples(directory: &Directory) -> Result<(usize, usize, Vec<u64>), Error> {
    let bits = directory.numbers(tag::BITS).unwrap_or_else(|| vec![1]);
    let count = directory.number(tag::SAMPLES).unwrap_or(1);
    let count = usize::try_from(count).ok().filter(|count| (1..=MAX_SAMPLES).contains(count));
    let count = count.ok_or_else(|| unsupported(&format!("more than {MAX_SAMPLES} samples a pixel")))?;
    let Some(&first) = bits.first() else { return Err(malformed("declares no bits a sample")) };
    if bits.len() > 1 && bits.len() < count || bits.iter().take(count).any(|&bits| bits != first) {
        return Err(unsupported(&format!("samples of {:?} bits", &bits[..bits.len().min(SHOWN)])));
    }
    if !matches!(first, 1 | 2 | 4 | 8 | 16) {
        return Err(unsupported(&format!("{first}-bit samples")));
    }
    Ok((first as usize, count, directory.numbers(tag::EXTRA).unwrap_or_default()))
}

fn check_format(directory: &Directory) -> Result<(), Error> {
    let formats = directory.numbers(tag::FORMAT).unwrap_or_default();
    match formats.iter().find(|&&format| format != 1) {
        None => Ok(()),
        Some(2) => Err(unsupported("signed samples")),
        Some(3) => Err(unsupported("floating-point samples")),
        Some(format) => Err(unsupported(&format!("samples of format {format}"))),
    }
}

fn colours(directory: &Directory, photometric: u64, bits: usize) -> Result<Colours, Error> {
    match photometric {
        0 | 1 => Ok(Colours::Grey { white_is_zero: photometric == 0 }),
        2 if bits >= 8 => Ok(Colours::Rgb),
        3 => palette(directory, bits),
        5 if bits >= 8 => Ok(Colours::Cmyk),
        2 | 5 => Err(unsupported(&format!("colour of {bits}-bit samples"))),
        4 => Err(unsupported("a transparency mask as its first page")),
        6 => Err(unsupported("YCbCr samples")),
        8..=10 => Err(unsupported("CIE L*a*b* samples")),
        32803 => Err(unsupported("colour filter array (raw sensor) samples")),
        other => Err(unsupported(&format!("photometric interpretation {other}"))),
    }
}

/// Reads a palette: all reds, all greens, all blues, of 16 bits each, which keep their high byte.
fn palette(directory: &Directory, bits: usize) -> Result<Colours, Error> {
    let levels = directory.numbers(tag::COLOURS).ok_or_else(|| malformed("has no palette"))?;
    let count = levels.len() / 3;
    if count < 1 << bits.min(8) {
        return Err(malformed(&format!("has a palette of {count} colours for {bits}-bit samples")));
    }
    let level = |at: usize| (levels[at] >> 8) as u8;
    let colours: Vec<u8> = (0..count.min(256))
        .flat_map(|nth| [level(nth), level(count + nth), level(2 * count + nth)])
        .collect();
    Ok(Colours::Palette(Box::new(Palette::new(&colours, 3, [0, 1, 2]))))
}

/// What the `behind` samples that follow the colours are: only the first of them may be alpha.
fn alpha(colours: &Colours, extra: &[u64], behind: usize) -> Result<Alpha, Error> {
    let kind = match (behind, extra) {
        (0, _) => return Ok(Alpha::None),
        // A fourth sample without a meaning is alpha, as in Pillow.
        (1, []) if matches!(colours, Colours::Rgb) => 2,
        (_, extra) if extra.len() == behind && extra[1..].iter().all(|&kind| kind == 0) => extra[0],
        _ => {
            return Err(unsupported(&format!(
                "{behind} extra samples that are described as {:?}",
                &extra[..extra.len().min(SHOWN)]
            )));
        }
    };
    match (kind, colours) {
        (0, _) => Ok(Alpha::None),
        (1, Colours::Grey { .. } | Colours::Rgb) => Ok(Alpha::Associated),
        (2, Colours::Grey { .. } | Colours::Rgb | Colours::Palette(_)) => Ok(Alpha::Separate),
        _ => Err(unsupported(&format!("extra samples of kind {kind} behind such colours"))),
    }
}

fn differences(predictor: u64, compression: Compression) -> Result<bool, Error> {
    match predictor {
        _ if !matches!(compression, Compression::Lzw | Compression::Deflate) => Ok(false),
        1 => Ok(false),
        2 => Ok(true),
        3 => Err(unsupported("the floating-point predictor")),
        other => Err(unsupported(&format!("predictor {other}"))),
    }
}
