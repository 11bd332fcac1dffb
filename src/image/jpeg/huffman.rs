//! Huffman codes of a JPEG (ITU-T T.81, annex C), read by tables.

use super::bits::Bits;
use super::error::malformed;
use crate::image::Error;

/// Codes up to this length are read by one look.
const LOOK: u32 = 10;

/// A code with its number: the number from bit 16 on, zeros before it in bits 8 to 11, bits in all below. 0: look again.
type Whole = i32;

pub(super) struct Huffman {
    /// For each beginning: length and symbol, 0 where the code is longer.
    short: Vec<(u8, u8)>,
    /// For each beginning that holds a whole coefficient: that coefficient.
    whole: Vec<Whole>,
    /// For each length: one more than the last code, moved up to 16 bits.
    ends: [u32; 17],
    /// For each length: what to take from a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Builds the codes of a table from how many there are of each length, and their symbols.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Error> {
        let mut huffman = Self {
            short: vec![(0, 0); 1 << LOOK],
            whole: vec![0; 1 << LOOK],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut first) = (0_u32, 0_usize);
        for (length, &count) in (1..=16).zip(counts) {
            let count = usize::from(count);
            huffman.offsets[length as usize] = first as i32 - code as i32;
            let named = symbols.get(first..first + count).unwrap_or_default();
            if length <= LOOK {
                huffman.fill(code, length, named);
            }
            code += count as u32;
            if code > 1 << length {
                return Err(malformed("has a Huffman table with more codes than its lengths allow"));
            }
            huffman.ends[length as usize] = code << (16 - length);
            first += count;
            code <<= 1;
        }
        huffman.fill_whole();
        Ok(huffman)
    }

    /// Writes the codes of one length, the first of which is `code`, into every beginning they make.
    fn fill(&mut self, code: u32, length: u32, symbols: &[u8]) {
        let each = 1 << (LOOK - length);
        for (nth, &symbol) in symbols.iter().enumerate() {
            let from = (code as usize + nth) * each;
            if let Some(beginnings) = self.short.get_mut(from..from + each) {
                beginnings.fill((length as u8, symbol));
            }
        }
    }

    /// Finds the beginnings that hold a code and the number behind it.
    fn fill_whole(&mut self) {
        for (beginning, whole) in self.whole.iter_mut().enumerate() {
            let (length, symbol) = self.short[beginning];
            let (run, size) = (i32::from(symbol >> 4), u32::from(symbol & 15));
            let bits = u32::from(length) + size;
            if length == 0 || size == 0 || bits > LOOK {
                continue;
            }
            let raw = (beginning as i32 >> (LOOK - bits)) & ((1 << size) - 1);
            let number = if raw < 1 << (size - 1) { raw - (1 << size) + 1 } else { raw };
            *whole = number << 16 | run << 8 | bits as i32;
        }
    }

    /// Takes a code with its number, if both are short: zeros before it, and it.
    #[inline]
    pub fn coefficient(&self, bits: &mut Bits) -> Option<(usize, i32)> {
        let whole = self.whole[bits.peek(LOOK)];
        if whole == 0 {
            return None;
        }
        bits.skip(whole as u32 & 0xFF);
        Some(((whole >> 8 & 15) as usize, whole >> 16))
    }

    /// Takes a code. One that the table does not hold is taken for 17 bits that mean 0, as in libjpeg. All are there.
    #[inline]
    pub fn symbol(&self, bits: &mut Bits) -> u8 {
        let (length, symbol) = self.short[bits.peek(LOOK)];
        if length == 0 {
            return self.long_symbol(bits);
        }
        bits.skip(u32::from(length));
        symbol
    }

    #[cold]
    fn long_symbol(&self, bits: &mut Bits) -> u8 {
        let code = bits.peek(16) as u32;
        let length = (1..=16).find(|&length| code < self.ends[length]).unwrap_or(17);
        bits.skip(length as u32);
        let Some(offset) = self.offsets.get(length) else { return 0 };
        let at = (code >> (16 - length)) as i32 + offset;
        self.symbols.get(at as usize).copied().unwrap_or(0)
    }
}
