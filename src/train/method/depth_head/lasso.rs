//! The group lasso over depths.
//!
//! ```text
//! min_W  loss(W) + λ Σ_g √p_g ‖W_g‖                       W_g: the columns of one depth, p_g numbers; ‖·‖ of Frobenius
//! W_g ← W_g · max(0, 1 − η λ √p_g / (h_g ‖W_g‖))          after a step of rate η: block soft-thresholding
//! λ = share · max_g ‖∂loss/∂W_g(0)‖ / √p_g                share 1: the least λ at which no depth is read
//! ```
//! Sources: Yuan and Lin 2006 (the penalty and its weights √p_g); Parikh and Boyd 2014, section 6.5.1 (the step); Friedman et
//! al. 2010 (λ as a share of that least one). AdamW divides each number's gradient by its size; h_g is the mean of what it
//! divides by in the block, so that the proximal step is one in the same metric. Without it every block would seem as
//! strong as the others: a step moves each number by about η, however weak its gradient.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

use crate::train::optim::adamw::AdamW;

/// The proximal step of a strength on the columns of a group.
///
/// # Shapes
/// `weight [C, D]`, the group a range of D.
pub fn shrink(weight: &mut Array2<f32>, group: &Range<usize>, strength: f64) {
    let mut own = weight.slice_mut(s![.., group.clone()]);
    let (norm, numbers) = (norm(own.iter()), own.len() as f64);
    let kept = 1.0 - strength * numbers.sqrt() / norm;
    // Nor is there anything left to divide of a block of zeros.
    let kept = if norm > 0.0 { kept.max(0.0) } else { 0.0 };
    own.mapv_inplace(|value| (f64::from(value) * kept) as f32);
}

/// The mean of what AdamW divides the steps of a group's columns by (h_g).
pub fn scale(state: &AdamW, width: usize, group: &Range<usize>) -> f64 {
    let own = state.denominators().enumerate().filter(|(place, _)| group.contains(&(place % width.max(1))));
    let (sum, count) = own.fold((0.0, 0), |(sum, count), (_, own)| (sum + own, count + 1));
    sum / f64::from(count.max(1))
}

/// The least λ at which no group is read, by the gradient where all are zero.
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
        GROUPS.iter().for_each(|group| shrink(&mut shrunk, group, 0.5));
        // ‖(3, 4)‖ = 5, less 0.5 √2; ‖(0.1, -0.1)‖ = 0.1 √2 is below 0.5 √4.
        let left = 1.0 - 0.5 * 2f32.sqrt() / 5.0;
        for (found, expected) in shrunk.iter().zip([3.0 * left, 0.0, 0.0, 0.0, 4.0 * left, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{shrunk}");
        }
        assert_eq!(kept(&shrunk, &GROUPS), [true, false, false]);
        let mut same = weight();
        GROUPS.iter().for_each(|group| shrink(&mut same, group, 0.0));
        assert_eq!(same, weight());
    }

    /// `prox(w) = argmin_v ½ ‖v − w‖² + t Σ_g √p_g ‖v_g‖`: no small change of the result lowers that.
    #[test]
    fn it_is_the_least_of_its_objective() {
        let (start, strength) = (weight(), 0.03);
        let objective = |at: &Array2<f32>| {
            let near = at.iter().zip(&start).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 2.0;
            let block = |group: &Range<usize>| {
                let own = at.slice(s![.., group.clone()]);
                (own.len() as f64).sqrt() * norm(own.iter())
            };
            near + strength * GROUPS.iter().map(block).sum::<f64>()
        };
        let mut least = start.clone();
        GROUPS.iter().for_each(|group| shrink(&mut least, group, strength));
        for place in 0..least.len() {
            for change in [-1e-2f32, -1e-3, 1e-3, 1e-2] {
                let mut other = least.clone();
                other.as_slice_mut().unwrap()[place] += change;
                assert!(objective(&other) > objective(&least), "{place} {change}");
            }
        }
    }

    /// At `W = 0` the penalty holds a block down as long as its slope is at most `λ √p`.
    #[test]
    fn the_least_strength_of_none_is_the_strongest_slope_and_scales_are_means_of_blocks() {
        let found = least_of_none(weight().view(), &GROUPS);
        assert!((found - 5.0 / 2f64.sqrt()).abs() < 1e-9, "{found}");
        let mut state = AdamW::new(8, Default::default());
        let mut values = [0.0; 8];
        state.step(&mut values, weight().as_slice().unwrap(), 0.0, 0.0);
        for (group, expected) in GROUPS.iter().zip([3.5, 0.05, 0.0]) {
            assert!((scale(&state, 4, group) - expected).abs() < 1e-5, "{group:?}");
        }
    }
}
