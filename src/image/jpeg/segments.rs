//! The segments between a JPEG's frames and scans: tables (ITU-T T.81, B.2.4) and what applications add.

use super::error::malformed;
use super::frame::Frame;
use super::huffman::Huffman;
use super::zigzag::ZIGZAG;
use crate::image::Error;

/// Scans an image may have. Encoders write about ten; each can cost a pass over all blocks for a few bytes.
pub(super) const MAX_SCANS: usize = 100;
/// Huffman tables a file may have: eight for each scan. Each costs a table of look-ups for a few bytes.
const MAX_CODES: usize = 8 * MAX_SCANS;

/// What the segments read so far say.
#[derive(Default)]
pub(super) struct Tables<'a> {
    /// Divisors, in rows.
    divisors: [Option<[u16; 64]>; 4],
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
    /// Huffman tables read so far.
    codes: usize,
    /// Units between restart markers, 0 for none.
    pub interval: usize,
    /// Whether it says to be JFIF.
    pub jfif: bool,
    /// The transform that Adobe's marker names.
    pub adobe: Option<u8>,
    /// EXIF, of all its segments.
    pub exif: Option<Vec<u8>>,
    pub xmp: Option<&'a [u8]>,
}

/// The body of the segment at `at`, which is moved behind it. Its two-byte length counts itself.
pub(super) fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Error> {
    let ends = || malformed("ends inside a segment");
    let length = bytes.get(*at..).and_then(|rest| rest.first_chunk()).ok_or_else(ends)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let body = bytes.get(*at + 2..*at + length.max(2)).ok_or_else(ends)?;
    *at += length.max(2);
    Ok(body)
}

impl<'a> Tables<'a> {
    /// Reads a segment that is neither a frame nor a scan.
    pub fn read(&mut self, kind: u8, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            0xC4 => self.read_codes(body),
            0xCC => Ok(()), // conditions of arithmetic coding, which no frame accepted here uses
            0xDB => self.read_divisors(body),
            0xDD => {
                let interval =
                    body.first_chunk().ok_or_else(|| malformed("has a restart interval too short"))?;
                self.interval = usize::from(u16::from_be_bytes(*interval));
                Ok(())
            }
            0xE0 if body.starts_with(b"JFIF\0") && body.len() >= 14 => {
                self.jfif = true;
                Ok(())
            }
            0xE1 => {
                self.read_metadata(body);
                Ok(())
            }
            0xEE if body.starts_with(b"Adobe") && body.len() >= 12 => {
                self.adobe = Some(body[11]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// EXIF may take several segments; of XMP the last one counts. Both as Pillow reads them.
    fn read_metadata(&mut self, body: &'a [u8]) {
        if let Some(exif) = body.strip_prefix(b"Exif\0\0") {
            self.exif.get_or_insert_default().extend_from_slice(exif);
        } else if let Some(xmp) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.xmp = Some(xmp);
        }
    }

    fn read_codes(&mut self, mut body: &[u8]) -> Result<(), Error> {
        while let Some((&both, rest)) = body.split_first() {
            let (counts, rest) =
                rest.split_first_chunk::<16>().ok_or_else(|| malformed("ends inside a Huffman table"))?;
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            if symbols > 256 || symbols > rest.len() {
                return Err(malformed("has a Huffman table that is too long"));
            }
            self.codes += 1;
            if self.codes > MAX_CODES {
                return Err(malformed(&format!("has more than {MAX_CODES} Huffman tables")));
            }
            let huffman = Huffman::new(counts, &rest[..symbols])?;
            let tables = if both >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let place = tables.get_mut(usize::from(both & 15));
            *place.ok_or_else(|| malformed("numbers a Huffman table above 3"))? = Some(huffman);
            body = &rest[symbols..];
        }
        Ok(())
    }

    fn read_divisors(&mut self, mut body: &[u8]) -> Result<(), Error> {
        let short = || malformed("ends inside a quantisation table");
        while let Some((&both, rest)) = body.split_first() {
            let place = self.divisors.get_mut(usize::from(both & 15));
            let place = place.ok_or_else(|| malformed("numbers a quantisation table above 3"))?;
            let wide = both >> 4 != 0;
            let (values, after) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or_else(short)?;
            let divisors = place.insert([0; 64]);
            for (nth, &place) in ZIGZAG[..64].iter().enumerate() {
                divisors[usize::from(place)] = match wide {
                    true => u16::from_be_bytes([values[2 * nth], values[2 * nth + 1]]),
                    false => u16::from(values[nth]),
                };
            }
            body = after;
        }
        Ok(())
    }

    /// Gives each component of a scan its divisors, when it is its first.
    pub fn latch(&self, header: &[u8], frame: &mut Frame) -> Result<(), Error> {
        let count = header.first().map_or(0, |&count| usize::from(count));
        for &[id, _] in header.get(1..1 + 2 * count).unwrap_or_default().as_chunks::<2>().0 {
            for component in frame.components.iter_mut().filter(|component| component.id == id) {
                let divisors = self.divisors.get(component.table).copied().flatten();
                component.divisors = component.divisors.or(divisors);
                if component.divisors.is_none() {
                    return Err(malformed("has a scan without the quantisation table it needs"));
                }
            }
        }
        Ok(())
    }
}
