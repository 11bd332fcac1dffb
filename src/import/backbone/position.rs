//! Resampling the position table to another grid.

use std::collections::BTreeMap;

use super::checkpoint::Tensor;
use super::error::Error;
use crate::backbone::VitConfig;

/// How a table is resampled.
#[derive(Clone, Copy, Debug)]
enum Kernel {
    /// Four neighbours, whatever the scale: `interpolate(mode="bicubic")`.
    Plain,
    /// Widened by the scale when shrinking: `interpolate(mode="bicubic", antialias=True)`.
    Antialiased,
}

/// Resamples `pos_embed` to images of `size` pixels a side, keeping the rows of class and distillation token.
///
/// Bicubic with half-pixel centres, as Hugging Face's `interpolate_pos_encoding` does: without antialiasing for
/// ViT, CLIP and DINOv2, with it for DINOv2 with registers. timm's default always antialiases, which for the
/// former is a different answer.
pub(super) fn resample(
    vit: &mut VitConfig,
    tensors: &mut BTreeMap<String, Tensor>,
    size: usize,
) -> Result<(), Error> {
    if size == 0 || !size.is_multiple_of(vit.patch_size) {
        let reason = format!("it is not a multiple of the patch, {} pixels", vit.patch_size);
        return Err(Error::invalid("image_size", size, reason));
    }
    let (from, to, d) = (vit.grid(), size / vit.patch_size, vit.width);
    let first = vit.placed_tokens();
    let kernel = if vit.registers > 0 { Kernel::Antialiased } else { Kernel::Plain };
    if let Some(table) = tensors.get_mut("pos_embed") {
        let (prefix, patches) = table.data.split_at(first * d);
        let data = [prefix, &bicubic(patches, (from, to), d, kernel)].concat();
        *table = Tensor { shape: vec![1, first + to * to, d], data };
    }
    vit.image_size = size;
    Ok(())
}

/// # Shapes
/// `[from, from, d]` to `[to, to, d]`, row-major.
fn bicubic(patches: &[f32], (from, to): (usize, usize), d: usize, kernel: Kernel) -> Vec<f32> {
    let taps: Vec<Vec<(usize, f64)>> = (0..to).map(|i| kernel.taps(i, from, to)).collect();
    let mut out = Vec::with_capacity(to * to * d);
    for rows in &taps {
        for columns in &taps {
            for channel in 0..d {
                let along = |y: usize| -> f64 {
                    columns.iter().map(|&(x, w)| w * f64::from(patches[(y * from + x) * d + channel])).sum()
                };
                out.push(rows.iter().map(|&(y, w)| w * along(y)).sum::<f64>() as f32);
            }
        }
    }
    out
}

impl Kernel {
    /// The source positions of target position `i`, with their weights.
    fn taps(self, i: usize, from: usize, to: usize) -> Vec<(usize, f64)> {
        let scale = from as f64 / to as f64;
        let center = (i as f64 + 0.5) * scale; // in pixels' edges; pixel x has its middle at x + 0.5
        match self {
            Self::Plain => {
                let base = (center - 0.5).floor();
                let tap = |offset: i64| {
                    let x = base as i64 + offset;
                    (x.clamp(0, from as i64 - 1) as usize, cubic(x as f64 + 0.5 - center, -0.75))
                };
                (-1..=2).map(tap).collect()
            }
            Self::Antialiased => {
                let stretch = scale.max(1.0);
                let start = (center - 2.0 * stretch + 0.5).max(0.0) as usize;
                let end = ((center + 2.0 * stretch + 0.5) as usize).min(from);
                let weight = |x: usize| cubic((x as f64 + 0.5 - center) / stretch, -0.5);
                let sum: f64 = (start..end).map(weight).sum();
                (start..end).map(|x| (x, weight(x) / sum)).collect()
            }
        }
    }
}

/// Cubic convolution at distance `x`; torch's `a` is -0.75, and -0.5 where it antialiases.
fn cubic(x: f64, a: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.interpolate(x, size=(n, n), mode="bicubic", antialias=…)`, torch 2.15.0, in double
    /// precision, of `x[i][j] = (7 i² + 3 j + 5 i j) mod 11`, 5 by 5.
    fn check(kernel: Kernel, to: usize, expected: &[f64]) {
        let x: Vec<f32> = (0..25)
            .map(|k| (k / 5, k % 5))
            .map(|(i, j)| ((7 * i * i + 3 * j + 5 * i * j) % 11) as f32)
            .collect();
        let found = bicubic(&x, (5, to), 1, kernel);
        assert_eq!(found.len(), to * to);
        for (k, (&expected, &found)) in expected.iter().zip(&found).enumerate() {
            assert!((expected - f64::from(found)).abs() < 1e-6, "at {k} found {found}, torch has {expected}");
        }
    }

    #[test]
    fn shrinking_equals_torch() {
        #[rustfmt::skip]
        check(Kernel::Plain, 3, &[
            2.4753086, 3.9259259, 5.1577503, 6.5185185, 10.0, 1.8703704, 3.7647462, 2.1851852, 5.5510974,
        ]);
        #[rustfmt::skip]
        check(Kernel::Antialiased, 3, &[
            2.9268639, 5.1494812, 5.7905325, 6.8897317, 5.4696809, 3.7542039, 3.9905325, 3.2640429, 5.1940828,
        ]);
    }

    #[test]
    fn enlarging_equals_torch() {
        // The first two rows of eight.
        #[rustfmt::skip]
        check(Kernel::Plain, 8, &[
            -0.9800542, 0.5917677, 3.2234662, 5.3224451, 8.0257888, 9.2324962, 4.3785768, -0.2499393,
            3.0878016, 3.0954884, 3.0904798, 2.3975208, 5.3477827, 9.57971, 6.6062575, 2.8106446,
        ]);
        #[rustfmt::skip]
        check(Kernel::Antialiased, 8, &[
            -0.7506229, 0.6783561, 3.143977, 5.3458169, 7.6125657, 9.1385595, 4.0735416, 0.0386875,
            2.7865988, 2.9446213, 3.2071396, 3.0517787, 5.3986575, 9.3609845, 5.8969648, 2.6732927,
        ]);
    }
}
