//! The group lasso over depths.
//!
//! ```text
//! min_W  loss(W) + λ Σ_g √p_g ‖W_g‖                       W_g: the columns of one depth, p_g numbers; ‖·‖ of Frobenius
//! W_g ← argmin_w ½ Σ_i h_i (w_i − v_i)² + η λ √p_g ‖w‖     v: W_g after a step of rate η, h_i what AdamW divided i's by
//! λ = share · max_g ‖∂loss/∂W_g(0)‖ / √p_g                share 1: the least λ whose least is at W = 0
//! ```
//! Sources: Yuan and Lin 2006 (the penalty and its weights √p_g); Parikh and Boyd 2014, section 4.2 (proximal gradient); Friedman
//! et al. 2010 (λ as a share of that least one, where the bias is fitted). AdamW's step is one in the metric h, so the proximal
//! step is one in the same metric; it is solved exactly:
//!
//! ```text
//! w = 0 where ‖h v‖ ≤ s = η λ √p_g,      else w_i = v_i t / (t + s / h_i), where t = ‖w‖ solves Σ_i (v_i / (t + s / h_i))² = 1
//! ```
//! Each step is exact, the training is not: it takes small batches, AdamW's means over steps, and its decay, which the
//! objective leaves out. So it ends near that least, and near share 1 some depths may stay.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

/// Steps of Newton's method, at most; about five are made.
const NEWTON: usize = 100;

/// The proximal step of a strength (η λ) on the columns of a group, in a diagonal metric.
///
/// # Shapes
/// `weight [C, D]`, the group a range of D, `metric` (h) a number for each of the weight's, row-major.
pub fn shrink(weight: &mut Array2<f32>, group: &Range<usize>, strength: f64, metric: &[f64]) {
    let width = weight.ncols().max(1);
    let mut own = weight.slice_mut(s![.., group.clone()]);
    let strength = strength * (own.len() as f64).sqrt();
    let pulls = metric.chunks(width).filter_map(|row| row.get(group.clone())).flatten();
    let block: Vec<Pulled> =
        own.iter().zip(pulls).map(|(&v, h)| Pulled { value: f64::from(v), ease: strength / h }).collect();
    let norm = norm_after(&block);
    for (value, Pulled { ease, .. }) in own.iter_mut().zip(block) {
        // Nor is there anything left to divide of a block of zeros.
        let kept = if norm > 0.0 { norm / (norm + ease) } else { 0.0 };
        *value = (f64::from(*value) * kept) as f32;
    }
}

/// A number of a block.
struct Pulled {
    /// Its value before (v).
    value: f64,
    /// How far the penalty moves it (s / h).
    ease: f64,
}

/// The norm t of a block after the step: the root of `Σ (v / (t + s / h))² = 1`; 0 where there is none.
///
/// Newton's method on `1 / √Σ`, which is concave and rises in t (Moré and Sorensen 1983): from the second value on it comes
/// nearer from below.
fn norm_after(block: &[Pulled]) -> f64 {
    let at = |t: f64| {
        let each =
            block.iter().map(|own| (own.value.powi(2), t + own.ease)).filter(|(square, _)| *square > 0.0);
        let sums = |(sum, slope), (square, all): (f64, f64)| {
            (sum + square / all.powi(2), slope + square / all.powi(3))
        };
        each.fold((0.0, 0.0), sums)
    };
    let mut t = block.iter().map(|own| own.value.powi(2)).sum::<f64>().sqrt();
    if t == 0.0 || at(0.0).0 <= 1.0 {
        return 0.0;
    }
    for _ in 0..NEWTON {
        let (sum, slope) = at(t);
        let step = sum * (sum.sqrt() - 1.0) / slope;
        let next = (t + step).max(0.0);
        let is_there = (next - t).abs() <= 1e-9 * t;
        t = next;
        if is_there {
            break;
        }
    }
    t
}

/// The least λ at which no group is read where the objective is least, by the gradient where all are zero.
pub fn least_of_none(gradient: ArrayView2<'_, f32>, groups: &[Range<usize>]) -> f64 {
    let of = |group: &Range<usize>| {
        let own = gradient.slice(s![.., group.clone()]);
        norm(own.iter()) / (own.len().max(1) as f64).sqrt()
    };
    groups.iter().map(of).fold(0.0, f64::max)
}

/// Which groups have a number other than zero.
pub fn kept(weight: &Array2<f32>, groups: &[Range<usize>]) -> Vec<bool> {
    let has_any =
        |group: &Range<usize>| weight.slice(s![.., group.clone()]).iter().any(|value| *value != 0.0);
    groups.iter().map(has_any).collect()
}

fn norm<'a>(values: impl Iterator<Item = &'a f32>) -> f64 {
    values.map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [Range<usize>; 3] = [0..1, 1..3, 3..4];

    fn weight() -> Array2<f32> {
        Array2::from_shape_vec((2, 4), vec![3.0, 0.1, 0.0, 0.0, 4.0, 0.0, -0.1, 0.0]).unwrap()
    }

    #[test]
    fn a_block_is_shortened_by_its_share_or_goes_whole() {
        let mut shrunk = weight();
        GROUPS.iter().for_each(|group| shrink(&mut shrunk, group, 0.5, &[1.0; 8]));
        // ‖(3, 4)‖ = 5, less 0.5 √2; ‖(0.1, -0.1)‖ = 0.1 √2 is below 0.5 √4.
        let left = 1.0 - 0.5 * 2f32.sqrt() / 5.0;
        for (found, expected) in shrunk.iter().zip([3.0 * left, 0.0, 0.0, 0.0, 4.0 * left, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{shrunk}");
        }
        assert_eq!(kept(&shrunk, &GROUPS), [true, false, false]);
        let mut same = weight();
        GROUPS.iter().for_each(|group| shrink(&mut same, group, 0.0, &[1.0; 8]));
        assert_eq!(same, weight());
    }

    /// `argmin_w ½ Σ h (w − v)² + s Σ_g √p_g ‖w_g‖`: no small change of the result lowers that.
    #[test]
    fn it_is_the_least_of_its_objective_in_every_metric() {
        let uneven = [3.0, 0.5, 9.0, 1.0, 0.02, 7.0, 0.4, 1.0];
        for (strength, metric) in
            [(0.03, [1.0; 8]), (0.03, uneven), (0.3, uneven), (0.01, uneven.map(|h| h * 1e-3))]
        {
            let start = weight();
            let objective = |at: &Array2<f32>| {
                let distance = |((a, b), h): ((&f32, &f32), f64)| h * (f64::from(*a) - f64::from(*b)).powi(2);
                let near = at.iter().zip(&start).zip(metric).map(distance).sum::<f64>() / 2.0;
                let block = |group: &Range<usize>| {
                    let own = at.slice(s![.., group.clone()]);
                    (own.len() as f64).sqrt() * norm(own.iter())
                };
                near + strength * GROUPS.iter().map(block).sum::<f64>()
            };
            let mut least = start.clone();
            GROUPS.iter().for_each(|group| shrink(&mut least, group, strength, &metric));
            for place in 0..least.len() {
                for change in [-1e-2f32, -1e-3, 1e-3, 1e-2] {
                    let mut other = least.clone();
                    other.as_slice_mut().unwrap()[place] += change;
                    assert!(objective(&other) > objective(&least), "{strength} {metric:?} {place} {change}");
                }
            }
        }
    }

    /// At `W = 0` the penalty holds a block down as long as its slope is at most `λ √p`.
    #[test]
    fn the_least_strength_of_none_is_the_strongest_slope() {
        let found = least_of_none(weight().view(), &GROUPS);
        assert!((found - 5.0 / 2f64.sqrt()).abs() < 1e-9, "{found}");
    }
}
