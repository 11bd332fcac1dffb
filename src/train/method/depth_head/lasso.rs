//! The group lasso over depths.
//!
//! ```text
//! min_W  loss(W) + λ Σ_g √p_g ‖W_g‖        W_g: the columns of one depth, p_g numbers; ‖·‖ the Frobenius norm
//! W_g ← W_g · max(0, 1 − η λ √p_g / ‖W_g‖)   after a step of rate η: the proximal step, block soft-thresholding
//! ```
//! Sources: Yuan and Lin 2006 (the penalty and its weights √p_g); Parikh and Boyd 2014, section 6.5.1 (the step). AdamW moves
//! a number by at most about η a step, a block by η √p_g: so λ is the share of a full step that pulls a block to zero, and
//! 1 or more leaves none.

use std::ops::Range;

use ndarray::{Array2, s};

/// The proximal step of strength `ηλ` on the columns of each group.
///
/// # Shapes
/// `weight [C, D]`, groups ranges of D.
pub fn shrink(weight: &mut Array2<f32>, groups: &[Range<usize>], strength: f64) {
    for group in groups {
        let mut own = weight.slice_mut(s![.., group.clone()]);
        let (norm, numbers) = (norm(own.iter()), own.len() as f64);
        let kept = 1.0 - strength * numbers.sqrt() / norm;
        // Nor is there anything left to divide of a block of zeros.
        let kept = if norm > 0.0 { kept.max(0.0) } else { 0.0 };
        own.mapv_inplace(|value| (f64::from(value) * kept) as f32);
    }
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
        shrink(&mut shrunk, &GROUPS, 0.5);
        // ‖(3, 4)‖ = 5, less 0.5 √2; ‖(0.1, -0.1)‖ = 0.1 √2 is below 0.5 √4.
        let left = 1.0 - 0.5 * 2f32.sqrt() / 5.0;
        for (found, expected) in shrunk.iter().zip([3.0 * left, 0.0, 0.0, 0.0, 4.0 * left, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{shrunk}");
        }
        assert_eq!(kept(&shrunk, &GROUPS), [true, false, false]);
        let mut same = weight();
        shrink(&mut same, &GROUPS, 0.0);
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
        shrink(&mut least, &GROUPS, strength);
        for place in 0..least.len() {
            for change in [-1e-2f32, -1e-3, 1e-3, 1e-2] {
                let mut other = least.clone();
                other.as_slice_mut().unwrap()[place] += change;
                assert!(objective(&other) > objective(&least), "{place} {change}");
            }
        }
    }
}
