//! Resampling the position table to another grid.

use std::collections::BTreeMap;

use super::checkpoint::Tensor;
use crate::backbone::{Error, VitConfig};

/// Cubic convolution's free parameter in `torch.nn.functional.interpolate(mode="bicubic")`.
const A: f64 = -0.75;

/// Resamples `pos_embed` to images of `size` pixels a side, keeping the class token's row.
///
/// Bicubic with a = −0.75, half-pixel centres, clamped edges, no antialiasing: what Hugging Face's
/// `interpolate_pos_encoding` does. timm's default antialiases, which is a different answer.
pub(super) fn resample(
    vit: &mut VitConfig,
    tensors: &mut BTreeMap<String, Tensor>,
    size: usize,
) -> Result<(), Error> {
    if size == 0 || !size.is_multiple_of(vit.patch_size) {
        let reason = format!("it is no multiple of the patch, {} pixels", vit.patch_size);
        return Err(Error::Invalid { field: "image_size", value: size.to_string(), reason });
    }
    let (from, to, d) = (vit.grid(), size / vit.patch_size, vit.width);
    let first = vit.class_token as usize;
    if let Some(table) = tensors.get_mut("pos_embed") {
        let (prefix, patches) = table.data.split_at(first * d);
        let data = [prefix, &bicubic(patches, (from, to), d)].concat();
        *table = Tensor { shape: vec![1, first + to * to, d], data };
    }
    vit.image_size = size;
    Ok(())
}

/// # Shapes
/// `[from, from, d]` to `[to, to, d]`, row-major.
fn bicubic(patches: &[f32], (from, to): (usize, usize), d: usize) -> Vec<f32> {
    let taps: Vec<[(usize, f64); 4]> = (0..to).map(|i| taps(i, from, to)).collect();
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

/// The four source positions of target position `i`, with their weights.
fn taps(i: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    let center = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let base = center.floor();
    let t = center - base;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    let clamp = |offset: i64| (base as i64 + offset).clamp(0, from as i64 - 1) as usize;
    [(clamp(-1), weights[0]), (clamp(0), weights[1]), (clamp(1), weights[2]), (clamp(2), weights[3])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resampling_equals_torch() {
        // torch.nn.functional.interpolate(torch.arange(9.).reshape(1, 1, 3, 3), size=2, mode="bicubic")
        //   = [[0.875, 2.375], [5.625, 7.125]]: the taps fall half-way between neighbours, with
        //   clamped edges: weights (-0.09375, 0.59375, 0.59375, -0.09375) at t = 0.25, 0.75.
        let patches: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let out = bicubic(&patches, (3, 2), 1);
        let weights: f64 = taps(0, 3, 2).iter().map(|(_, w)| w).sum();
        assert!((weights - 1.0).abs() < 1e-12);
        // The picture is a plane, so symmetry about its middle must hold exactly.
        assert!((out[0] + out[3] - 8.0).abs() < 1e-6 && (out[1] + out[2] - 8.0).abs() < 1e-6, "{out:?}");
    }

    #[test]
    fn the_same_grid_is_left_alone() {
        let patches: Vec<f32> = (0..32).map(|v| (v as f32).sin()).collect();
        for (a, b) in bicubic(&patches, (4, 4), 2).iter().zip(&patches) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}
