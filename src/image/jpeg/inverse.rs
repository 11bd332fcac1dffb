//! From 64 coefficients to 8 x 8 samples, as libjpeg's accurate integer transform ("islow") computes it.
//!
//! The algorithm is Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications"
//! (ICASSP 1989), on columns and then on rows, with 13 fractional bits in the constants and 2 kept between the passes.

use std::num::Wrapping;

use multiversion::multiversion;

/// Coefficients or samples of a block, row by row.
pub(super) type Block = [i16; 64];

/// Eight numbers that are transformed side by side.
type Lanes = [Wrapping<i32>; 8];

const FRACTION: usize = 13;
const KEPT: usize = 2;

/// Transforms a block of dequantised coefficients into samples, whose rows are `stride` apart.
///
/// What no encoder writes overflows as in libjpeg-turbo's SSE2 and AVX2 code: some sums keep 16 bits, and what is kept
/// between the passes is clipped to them.
///
/// `target` begins at the block's first sample and holds its last row.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn transform(block: &Block, target: &mut [u8], stride: usize) {
    let mut rows: [Lanes; 8] =
        std::array::from_fn(|row| std::array::from_fn(|column| Wrapping(i32::from(block[8 * row + column]))));
    pass(&mut rows, FRACTION - KEPT);
    rows.iter_mut().for_each(|lanes| *lanes = lanes.map(|value| Wrapping(value.0.clamp(-32_768, 32_767))));
    transpose(&mut rows);
    pass(&mut rows, FRACTION + KEPT + 3);
    transpose(&mut rows);
    for (row, samples) in rows.iter().zip(target.chunks_mut(stride)) {
        for (sample, value) in samples.iter_mut().zip(row) {
            *sample = (value.0 + 128).clamp(0, 255) as u8;
        }
    }
}

/// Fills a block that has nothing but its mean, as [`transform`] would.
pub(super) fn flat(mean: i16, target: &mut [u8], stride: usize) {
    let level = ((i32::from(mean << KEPT) + (1 << (KEPT + 2))) >> (KEPT + 3)) + 128;
    let level = level.clamp(0, 255) as u8;
    for samples in target.chunks_mut(stride).take(8) {
        samples[..8].fill(level);
    }
}

#[inline(always)]
fn transpose(rows: &mut [Lanes; 8]) {
    let from = *rows;
    for (row, lanes) in rows.iter_mut().enumerate() {
        *lanes = std::array::from_fn(|column| from[column][row]);
    }
}

#[inline(always)]
fn map(a: Lanes, b: Lanes, f: impl Fn(Wrapping<i32>, Wrapping<i32>) -> Wrapping<i32>) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    map(a, b, |a, b| a + b)
}

#[inline(always)]
fn subtract(a: Lanes, b: Lanes) -> Lanes {
    map(a, b, |a, b| a - b)
}

/// The low 16 bits, with their sign.
#[inline(always)]
fn short(a: Lanes) -> Lanes {
    a.map(|a| Wrapping(i32::from(a.0 as i16)))
}

#[inline(always)]
fn times(a: Lanes, constant: i32) -> Lanes {
    a.map(|a| a * Wrapping(constant))
}

/// The transform of each lane, rounded and moved down by `shift` bits. Constants are the paper's, times 2^13.
#[inline(always)]
fn pass(rows: &mut [Lanes; 8], shift: usize) {
    let even = even(rows);
    let odd = odd(rows);
    let half = Wrapping(1 << (shift - 1));
    for nth in 0..4 {
        rows[nth] = map(even[nth], odd[nth], |even, odd| (even + odd + half) >> shift);
        rows[7 - nth] = map(even[nth], odd[nth], |even, odd| (even - odd + half) >> shift);
    }
}

/// What rows 0, 2, 4 and 6 give to outputs 0 to 3.
#[inline(always)]
fn even(rows: &[Lanes; 8]) -> [Lanes; 4] {
    let turned = times(add(rows[2], rows[6]), 4433);
    let low = subtract(turned, times(rows[6], 15137));
    let high = add(turned, times(rows[2], 6270));
    let sum = short(add(rows[0], rows[4])).map(|value| value << FRACTION);
    let difference = short(subtract(rows[0], rows[4])).map(|value| value << FRACTION);
    [add(sum, high), add(difference, low), subtract(difference, low), subtract(sum, high)]
}

/// What rows 1, 3, 5 and 7 give to outputs 0 to 3.
#[inline(always)]
fn odd(rows: &[Lanes; 8]) -> [Lanes; 4] {
    let [r1, r3, r5, r7] = [rows[1], rows[3], rows[5], rows[7]];
    let (inner, outer) = (short(add(r7, r3)), short(add(r5, r1)));
    let shared = times(add(inner, outer), 9633);
    let z1 = times(add(r7, r1), -7373);
    let z2 = times(add(r5, r3), -20995);
    let z3 = add(times(inner, -16069), shared);
    let z4 = add(times(outer, -3196), shared);
    let out3 = add(times(r7, 2446), add(z1, z3));
    let out2 = add(times(r5, 16819), add(z2, z4));
    let out1 = add(times(r3, 25172), add(z2, z3));
    let out0 = add(times(r1, 12299), add(z1, z4));
    [out0, out1, out2, out3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_block_is_what_the_transform_makes_of_it() {
        for mean in (-2400..2400).step_by(7) {
            let mut block = [0; 64];
            block[0] = mean;
            let (mut transformed, mut filled) = ([0; 64], [1; 64]);
            transform(&block, &mut transformed, 8);
            flat(mean, &mut filled, 8);
            assert_eq!(transformed, filled, "{mean}");
        }
    }
}
