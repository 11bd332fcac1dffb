//! The scans of a frame: sequential and progressive, Huffman-coded (ITU-T T.81, annexes F and G).

use super::bits::Bits;
use super::error::{malformed, unsupported};
use super::frame::{Component, Frame, MAX_BLOCKS};
use super::huffman::Huffman;
use super::inverse::Block;
use super::progressive::{self, Refinement};
use super::put::put;
use super::segments::Tables;
use super::selection::{Part, Selection};
use super::zigzag::ZIGZAG;
use crate::image::Error;

/// Reads a scan header, whose segment is given.
pub(super) fn header<'a>(
    segment: &[u8],
    frame: &Frame,
    tables: &'a Tables,
) -> Result<(Vec<Part<'a>>, Selection), Error> {
    let short = || malformed("has a scan header that is too short");
    let (&count, rest) = segment.split_first().ok_or_else(short)?;
    let named = rest.get(..2 * usize::from(count)).ok_or_else(short)?;
    let &[first, last, bits] = rest[named.len()..].first_chunk().ok_or_else(short)?;
    let mut parts: Vec<Part> = Vec::new();
    for &[id, both] in named.as_chunks::<2>().0 {
        let component = frame.components.iter().position(|component| component.id == id);
        let component =
            component.ok_or_else(|| malformed("has a scan of a component it does not declare"))?;
        if parts.iter().any(|part| part.component == component) {
            return Err(malformed("has a scan that names a component twice"));
        }
        let [dc, ac] = [(&tables.dc, both >> 4), (&tables.ac, both & 15)]
            .map(|(tables, nth)| tables.get(usize::from(nth)).and_then(Option::as_ref));
        parts.push(Part { component, dc, ac, mean: 0 });
    }
    let blocks = parts.iter().map(|part| frame.components[part.component].sampling).map(|(h, v)| h * v);
    if parts.is_empty() || parts.len() > 1 && blocks.sum::<usize>() > MAX_BLOCKS {
        return Err(malformed("has a scan with no components, or with too many blocks a unit"));
    }
    let selection = Selection { first: first.into(), last: last.into(), high: bits >> 4, low: bits & 15 };
    Ok((parts, selection))
}

/// What is done with each block of a scan.
enum Coding {
    Sequential,
    Progressive(Refinement),
}

/// Decodes one scan, whose data begin at `at`. Returns a place in front of the marker behind it.
pub(super) fn decode(
    (bytes, at): (&[u8], usize),
    frame: &mut Frame,
    (mut parts, selection): (Vec<Part>, Selection),
    interval: usize,
) -> Result<usize, Error> {
    let coding = match frame.progressive {
        true => Coding::Progressive(Refinement::new(selection, &parts, frame)?),
        false => Coding::Sequential,
    };
    for part in &parts {
        let has_mean = !frame.progressive || selection.first == 0 && selection.high == 0;
        if has_mean && part.dc.is_none() || (selection.first > 0 || !frame.progressive) && part.ac.is_none() {
            return Err(unsupported("no Huffman table for a scan, as frames of Motion JPEG are stored"));
        }
    }
    let mut reader = Reader { bits: Bits::new(bytes, at), coding, lost: false };
    let (across, down) = match &parts[..] {
        [only] => frame.components[only.component].blocks,
        _ => frame.units,
    };
    let mut next = 0_u8;
    for unit in 0..across * down {
        if interval > 0 && unit > 0 && unit % interval == 0 {
            reader.restart(next, &mut parts);
            next = (next + 1) & 7;
        }
        reader.unit(frame, &mut parts, (unit % across, unit / across));
    }
    Ok(reader.bits.position())
}

struct Reader<'a> {
    bits: Bits<'a>,
    coding: Coding,
    /// Whether data ended early: the blocks up to the next restart stay empty, as libjpeg leaves them.
    lost: bool,
}

impl Reader<'_> {
    fn restart(&mut self, expected: u8, parts: &mut [Part]) {
        if self.bits.restart(expected) {
            self.lost = false;
        }
        parts.iter_mut().for_each(|part| part.mean = 0);
        if let Coding::Progressive(refinement) = &mut self.coding {
            refinement.empty_blocks = 0;
        }
    }

    /// Decodes all blocks of a unit, or the one block of a scan of one component.
    fn unit(&mut self, frame: &mut Frame, parts: &mut [Part], (x, y): (usize, usize)) {
        let lost = self.lost;
        let interleaved = parts.len() > 1;
        for part in parts {
            let component = &mut frame.components[part.component];
            let (h, v) = if interleaved { component.sampling } else { (1, 1) };
            for down in 0..v {
                for across in 0..h {
                    self.block(component, part, (x * h + across, y * v + down), lost);
                }
            }
        }
        self.lost |= self.bits.is_exhausted();
    }

    #[inline]
    fn block(&mut self, component: &mut Component, part: &mut Part, (x, y): (usize, usize), lost: bool) {
        let at = y * component.room.0 + x;
        match &mut self.coding {
            Coding::Progressive(refinement) if !lost => {
                progressive::block(&mut self.bits, refinement, part, &mut component.coefficients[at]);
            }
            Coding::Progressive(_) => {}
            Coding::Sequential => {
                let mut block = [0; 64];
                let divisors = component.divisors.as_ref();
                let last = match (part.dc, part.ac, divisors) {
                    (Some(dc), Some(ac), Some(divisors)) if !lost => {
                        sequential(&mut self.bits, (dc, ac), &mut part.mean, divisors, &mut block)
                    }
                    _ => 0,
                };
                put(component, (x, y), &block, last);
            }
        }
    }
}

/// Decodes a block, dequantised. Returns the number of its last coefficient that is there.
#[inline]
fn sequential(
    bits: &mut Bits,
    (dc, ac): (&Huffman, &Huffman),
    mean: &mut i32,
    divisors: &[u16; 64],
    block: &mut Block,
) -> usize {
    bits.refill();
    let size = dc.symbol(bits) & 15;
    *mean = mean.wrapping_add(bits.signed(size.into()));
    block[0] = mean.wrapping_mul(divisors[0].into()) as i16;
    let (mut at, mut last) = (1, 0);
    while at < 64 {
        bits.refill();
        let (run, value) = match ac.coefficient(bits) {
            Some(whole) => whole,
            None => match ac.symbol(bits) {
                0xF0 => {
                    at += 16;
                    continue;
                }
                symbol if symbol & 15 == 0 => break,
                symbol => (usize::from(symbol >> 4), bits.signed(u32::from(symbol & 15))),
            },
        };
        at += run;
        let place = usize::from(ZIGZAG[at]);
        block[place] = value.wrapping_mul(divisors[place].into()) as i16;
        last = at;
        at += 1;
    }
    last
}
