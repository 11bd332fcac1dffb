//! Progressive blocks: their coefficients come a few at a time, and bit by bit (ITU-T T.81, annex G).

use super::bits::Bits;
use super::error::{malformed, unsupported};
use super::frame::Frame;
use super::huffman::Huffman;
use super::inverse::Block;
use super::put::put;
use super::selection::{Part, Selection};
use super::zigzag::ZIGZAG;
use crate::image::Error;

/// How many coefficients must be complete so that libjpeg does not smooth: the mean and nine more.
const SMOOTHED: usize = 10;

/// A progressive scan's selection, and its state.
pub(super) struct Refinement {
    selection: Selection,
    /// Blocks that follow and have nothing in this scan.
    pub empty_blocks: u32,
}

impl Refinement {
    /// Checks what a progressive scan header selects, and notes it.
    pub fn new(selection: Selection, parts: &[Part], frame: &mut Frame) -> Result<Self, Error> {
        let Selection { first, last, high, low } = selection;
        let of_means = first == 0 && last == 0;
        let of_others = first > 0 && first <= last && last < 64 && parts.len() == 1;
        if !(of_means || of_others) || low > 13 || high != 0 && high != low + 1 {
            return Err(malformed(&format!(
                "has a progressive scan of coefficients {first} to {last}, bits {high} to {low}"
            )));
        }
        for part in parts {
            frame.components[part.component].missing[first..=last].fill(low);
        }
        Ok(Self { selection, empty_blocks: 0 })
    }
}

/// Reads what a scan says of one block.
#[inline]
pub(super) fn block(bits: &mut Bits, refinement: &mut Refinement, part: &mut Part, block: &mut Block) {
    let Selection { first, high, low, .. } = refinement.selection;
    match (first, high, part.dc, part.ac) {
        (0, 0, Some(dc), _) => {
            bits.refill();
            let size = dc.symbol(bits) & 15;
            part.mean = part.mean.wrapping_add(bits.signed(size.into()));
            block[0] = (part.mean << low) as i16;
        }
        (0, ..) => block[0] |= i16::from(bits.bit()) << low,
        (_, 0, _, Some(ac)) => begin(bits, refinement, ac, block),
        (_, _, _, Some(ac)) => refine(bits, refinement, ac, block),
        _ => {}
    }
}

/// The first bits of some coefficients (T.81, G.1.2.2).
fn begin(bits: &mut Bits, refinement: &mut Refinement, ac: &Huffman, block: &mut Block) {
    let Selection { first, last, low, .. } = refinement.selection;
    if refinement.empty_blocks > 0 {
        refinement.empty_blocks -= 1;
        return;
    }
    let mut at = first;
    while at <= last {
        bits.refill();
        let symbol = ac.symbol(bits);
        let (run, size) = (symbol >> 4, symbol & 15);
        if size > 0 {
            at += usize::from(run);
            block[usize::from(ZIGZAG[at])] = (bits.signed(size.into()) << low) as i16;
            at += 1;
        } else if run == 15 {
            at += 16;
        } else {
            refinement.empty_blocks = empty_run(bits, run) - 1;
            return;
        }
    }
}

/// How many blocks, this one first, have nothing more.
fn empty_run(bits: &mut Bits, run: u8) -> u32 {
    (1 << run) + bits.take(run.into()) as u32
}

/// One more bit of some coefficients (T.81, G.1.2.3).
fn refine(bits: &mut Bits, refinement: &mut Refinement, ac: &Huffman, block: &mut Block) {
    let Selection { first, last, low, .. } = refinement.selection;
    let mut at = first;
    if refinement.empty_blocks == 0 {
        while at <= last {
            bits.refill();
            let symbol = ac.symbol(bits);
            let (run, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if run < 15 => {
                    refinement.empty_blocks = empty_run(bits, run);
                    break;
                }
                0 => 0,
                _ if bits.bit() => 1 << low,
                _ => -1 << low,
            };
            at = correct(bits, (at, last), run.into(), low, block);
            if new != 0 {
                block[usize::from(ZIGZAG[at])] = new;
            }
            at += 1;
        }
    }
    if refinement.empty_blocks > 0 {
        correct(bits, (at, last), usize::MAX, low, block);
        refinement.empty_blocks -= 1;
    }
}

/// Adds a bit to each coefficient that is not 0, until `zeros` others were passed. Returns where the next zero is.
fn correct(
    bits: &mut Bits,
    (mut at, last): (usize, usize),
    mut zeros: usize,
    low: u8,
    block: &mut Block,
) -> usize {
    while at <= last {
        let value = &mut block[usize::from(ZIGZAG[at])];
        if *value == 0 {
            if zeros == 0 {
                break;
            }
            zeros -= 1;
        } else if bits.bit() && *value & 1 << low == 0 {
            *value = value.wrapping_add(if *value > 0 { 1 << low } else { -1 << low });
        }
        at += 1;
    }
    at
}

/// Transforms all blocks of a frame whose scans are done.
///
/// # Errors
/// A frame whose scans do not bring all bits of the first coefficients: libjpeg would smooth it.
pub(super) fn finish(frame: &mut Frame) -> Result<(), Error> {
    for component in &mut frame.components {
        if component.missing[..SMOOTHED].iter().any(|&bits| bits != 0) {
            return Err(unsupported("progressive scans that leave coefficients incomplete"));
        }
        let divisors = component.divisors.unwrap_or([1; 64]);
        let coefficients = std::mem::take(&mut component.coefficients);
        for (at, block) in coefficients.iter().enumerate() {
            let mut product = [0_i16; 64];
            for ((product, &value), &divisor) in product.iter_mut().zip(block).zip(&divisors) {
                *product = value.wrapping_mul(divisor as i16);
            }
            let last = usize::from(block[1..].iter().any(|&value| value != 0));
            put(component, (at % component.room.0, at / component.room.0), &product, last);
        }
    }
    Ok(())
}
