//! What a scan is of: components, coefficients, bits.

use super::huffman::Huffman;

/// A component's part in a scan.
pub(super) struct Part<'a> {
    pub component: usize,
    pub dc: Option<&'a Huffman>,
    pub ac: Option<&'a Huffman>,
    /// The last mean, from which the next one differs.
    pub mean: i32,
}

/// What a scan header says of coefficients: which ones, and which of their bits (T.81, B.2.3).
#[derive(Clone, Copy)]
pub(super) struct Selection {
    pub first: usize,
    pub last: usize,
    pub high: u8,
    pub low: u8,
}
