//! The bits of a scan, most significant first, without the zeros stuffed behind 0xFF (ITU-T T.81, F.1.2.3).

/// Reads bits of one scan, up to the next marker; behind it, zeros.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where the next byte is.
    at: usize,
    /// Bits not yet taken, from the top.
    held: u64,
    /// How many of them count.
    count: u32,
    /// How many of those, the last ones, are made up because a marker or the end came.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, made_up: 0 }
    }

    /// Makes at least 56 bits available: enough for a code and what follows it.
    #[inline]
    pub fn refill(&mut self) {
        if self.count > 32 {
            return;
        }
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(*word);
            if !has_ff(word) {
                self.held |= word >> self.count;
                self.at += (63 - self.count as usize) >> 3;
                self.count |= 56;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = self.next_byte();
            if byte.is_none() {
                self.made_up += 8;
            }
            self.held |= u64::from(byte.unwrap_or(0)) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next byte of data, or nothing at a marker or the end.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        if byte != 0xFF {
            self.at += 1;
            return Some(byte);
        }
        let fill = self.bytes[self.at..].iter().position(|&byte| byte != 0xFF)?;
        if self.bytes[self.at + fill] != 0 {
            // The marker's own 0xFF, so that a long fill is skipped once.
            self.at += fill - 1;
            return None;
        }
        self.at += fill + 1;
        Some(0xFF)
    }

    /// The next `count` bits, 1 to 32, which stay.
    #[inline]
    pub fn peek(&self, count: u32) -> usize {
        (self.held >> (64 - count)) as usize
    }

    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.held <<= count;
        self.count = self.count.saturating_sub(count);
    }

    /// Takes one bit.
    #[inline]
    pub fn bit(&mut self) -> bool {
        self.refill();
        let bit = self.held >> 63 == 1;
        self.skip(1);
        bit
    }

    /// Takes `count` bits, 0 to 16.
    #[inline]
    pub fn take(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        self.refill();
        let value = self.peek(count) as i32;
        self.skip(count);
        value
    }

    /// Takes a number of `size` bits, 0 to 16, whose first bit tells its sign (T.81, figure F.12). The bits are there.
    #[inline]
    pub fn signed(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let value = self.peek(size) as i32;
        self.skip(size);
        if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
    }

    /// Whether bits were taken that the scan does not hold.
    pub fn is_exhausted(&self) -> bool {
        self.count < self.made_up
    }

    /// Drops the bits held and continues after the restart marker `expected`, 0 to 7. Returns whether it is
    /// there.
    ///
    /// A marker out of order is treated as libjpeg does: an earlier one is skipped, one of the next two is left for
    /// its own interval, any other is taken for the expected one.
    pub fn restart(&mut self, expected: u8) -> bool {
        let mut at = self.position();
        self.forget();
        loop {
            // Everything before a marker is skipped for good, as libjpeg does: once for each scan, not at
            // each restart.
            let Some(marker) = marker_from(self.bytes, at) else {
                self.at = self.bytes.len();
                return false;
            };
            let kind = self.bytes[marker];
            let ahead = kind.wrapping_sub(0xD0).wrapping_sub(expected) & 7;
            match kind {
                0xD0..=0xD7 if ahead == 1 || ahead == 2 => {
                    self.at = marker - 1;
                    return false;
                }
                0xD0..=0xD7 if ahead < 6 => {
                    self.at = marker + 1;
                    return true;
                }
                0xD0..=0xD7 | 0x01..0xC0 => at = marker + 1,
                _ => {
                    self.at = marker - 1;
                    return false;
                }
            }
        }
    }

    fn forget(&mut self) {
        (self.held, self.count, self.made_up) = (0, 0, 0);
    }

    /// A place at or before the next marker, behind all bytes taken.
    pub fn position(&self) -> usize {
        // What is held may have been read beyond what was taken, but never beyond a marker.
        self.at
    }
}

/// Whether a byte of the word is 0xFF.
fn has_ff(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let inverse = !word;
    inverse.wrapping_sub(ONES) & word & (ONES << 7) != 0
}

/// Where the kind of the next marker is; stuffed zeros and fill bytes are no markers.
pub(super) fn marker_from(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        match *bytes.get(at + 1)? {
            0x00 => at += 2,
            0xFF => at += 1,
            _ => return Some(at + 1),
        }
    }
}
