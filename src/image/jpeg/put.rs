//! From coefficients to samples in their place.

use super::frame::Component;
use super::inverse::{Block, flat, transform};

/// Transforms a block and writes its samples.
#[inline]
pub(super) fn put(component: &mut Component, (x, y): (usize, usize), block: &Block, last: usize) {
    let stride = 8 * component.room.0;
    let from = 8 * y * stride + 8 * x;
    let target = &mut component.samples[from..from + 7 * stride + 8];
    if last == 0 { flat(block[0], target, stride) } else { transform(block, target, stride) }
}
