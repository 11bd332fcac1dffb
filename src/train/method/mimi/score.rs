//! How much each adapter neuron matters: the score of Marouf et al. 2024, equation 3, and its ablations.
//!
//! ```text
//! I_ij = ( Σ_k |W_i^down[j, k]| + Σ_k |W_i^up[k, j]| ) / Z_i
//! ```

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::backbone::Module;
use crate::graph::ParameterName;
use crate::train::model::Model;
use crate::train::optim::gradients::Gradients;

/// What the sum of a neuron's weights is divided by (`Z_i`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normaliser {
    /// `2 M_i`, the number of weights that belong to the neuron: the reference implementation (docs/method.md
    /// section 3).
    #[default]
    Weights,
    /// `N_i + M_i`, the adapter's two widths.
    Widths,
    /// 1: the ablation without scaling.
    None,
}

impl Normaliser {
    /// `Z_i` of an adapter of `width` neurons (N) in a block of `block_width` (M).
    pub fn of(self, width: usize, block_width: usize) -> f64 {
        match self {
            Self::Weights => (2 * block_width) as f64,
            Self::Widths => (width + block_width) as f64,
            Self::None => 1.0,
        }
    }
}

/// Which score neurons are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// Magnitude of both matrices: MiMi.
    Magnitude(Normaliser),
    /// Magnitude of the down-projection's row alone: without the look-ahead.
    DownOnly(Normaliser),
    /// Magnitude of the gradients summed over the last epoch.
    Gradient(Normaliser),
    /// Chance.
    Random,
}

impl Default for Score {
    fn default() -> Self {
        Self::Magnitude(Normaliser::default())
    }
}

/// Scores of every neuron, by module.
pub type Scores = BTreeMap<Module, Vec<f64>>;

/// Matrices whose magnitudes are summed: `down [D, R]`, `up [R, D]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<'a> {
    /// `[D, R]`.
    pub down: &'a [f32],
    /// `[R, D]`.
    pub up: &'a [f32],
    /// R.
    pub width: usize,
}

/// Σ|down| of each neuron.
pub fn down_magnitude(m: &Matrices<'_>) -> Vec<f64> {
    let mut sums = vec![0.0; m.width];
    for row in m.down.chunks(m.width) {
        sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(w.abs()));
    }
    sums
}

/// Σ|down| + Σ|up| of each neuron.
pub fn magnitude(m: &Matrices<'_>) -> Vec<f64> {
    let up = m.up.chunks(m.up.len() / m.width.max(1));
    let up = up.map(|row| row.iter().map(|w| f64::from(w.abs())).sum::<f64>());
    down_magnitude(m).into_iter().zip(up).map(|(down, up)| down + up).collect()
}

/// Scores of a model. Only the scores that need them read `gradients` and draw a number in 0..1 by `chance`.
///
/// # Errors
/// When a gradient that is needed is missing.
pub fn scores(
    model: &Model,
    score: Score,
    gradients: &Gradients,
    mut chance: impl FnMut() -> f64,
) -> Result<Scores> {
    let mut found = Scores::new();
    for module in model.widths().into_keys() {
        let adapter = model.projections(module)?;
        let width = adapter.width();
        let weights = Matrices { down: &adapter.down.values, up: &adapter.up.values, width };
        let (raw, normaliser) = match score {
            Score::Magnitude(z) => (magnitude(&weights), z),
            Score::DownOnly(z) => (down_magnitude(&weights), z),
            Score::Gradient(z) => {
                let gradient = |name| gradients.get(name);
                let (down, up) =
                    (gradient(ParameterName::down(module))?, gradient(ParameterName::up(module))?);
                (magnitude(&Matrices { down, up, width }), z)
            }
            Score::Random => ((0..width).map(|_| chance()).collect(), Normaliser::None),
        };
        let z = normaliser.of(width, adapter.block_width());
        found.insert(module, raw.into_iter().map(|sum| sum / z).collect());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_is_scored_by_its_row_and_column() {
        // D = 3, R = 2: neuron 0 has down (1, −2, 3) and up (1, 1, −1); neuron 1 the rest.
        let down = [1.0, 0.5, -2.0, 0.0, 3.0, 0.0];
        let up = [1.0, 1.0, -1.0, 0.0, 0.25, 0.0];
        let m = Matrices { down: &down, up: &up, width: 2 };
        assert_eq!(magnitude(&m), [9.0, 0.75]);
        assert_eq!(down_magnitude(&m), [6.0, 0.5]);
        assert_eq!(Normaliser::Weights.of(2, 3), 6.0);
        assert_eq!(Normaliser::Widths.of(2, 3), 5.0);
    }
}
