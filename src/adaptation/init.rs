//! First values of adapters.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::random::{normal, uniform};

/// How an adapter's matrices begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal, deviation 0.02, both matrices (docs/method.md section 1: Swin, CvT, T2T). Not zero: the network starts
    /// near the backbone, not at it. (timm cuts this distribution at ±2, a hundred deviations: never.)
    #[default]
    Normal,
    /// Uniform within `±1/√fan_in`, PyTorch's default for a linear layer, both matrices (docs/method.md section 1:
    /// ViT).
    KaimingUniform,
    /// The first matrix as [`Init::Normal`], the second zero: the network starts at the backbone, and wide adapters
    /// do not first have to undo what chance put into them (LoRA, Hu et al. 2021, section 4.1; not MiMi's).
    Identity,
    /// Normal, variance `2 / (fan_in + fan_out)`, both matrices (Glorot and Bengio 2010): where SNIP and GraSP begin.
    XavierNormal,
}

/// Deviation of [`Init::Normal`].
const DEVIATION: f64 = 0.02;

impl Init {
    /// Draws `count` elements of a first matrix whose outputs each sum `fan_in` inputs.
    pub fn down(self, random: &mut impl Rng, count: usize, fan_in: usize) -> Vec<f32> {
        match self {
            Self::Normal | Self::Identity => {
                (0..count).map(|_| (DEVIATION * normal(random)) as f32).collect()
            }
            Self::KaimingUniform => uniform(random, count, fan_in),
            Self::XavierNormal => {
                let deviation = (2.0 / (fan_in + count / fan_in.max(1)) as f64).sqrt();
                (0..count).map(|_| (deviation * normal(random)) as f32).collect()
            }
        }
    }

    /// Draws `count` elements of a second matrix whose outputs each sum `fan_in` inputs.
    pub fn up(self, random: &mut impl Rng, count: usize, fan_in: usize) -> Vec<f32> {
        match self {
            Self::Identity => vec![0.0; count],
            Self::Normal | Self::KaimingUniform | Self::XavierNormal => self.down(random, count, fan_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn draws_have_their_deviation_and_repeat_for_a_seed() {
        let draw = |init: Init| init.down(&mut ChaCha8Rng::seed_from_u64(3), 20_000, 48);
        let deviation = |values: &[f32]| (values.iter().map(|v| v * v).sum::<f32>() / 20_000.0).sqrt();
        let values = draw(Init::Normal);
        assert!((deviation(&values) - 0.02).abs() < 3e-4);
        assert_eq!(values, draw(Init::Normal));
        assert_eq!(values, draw(Init::Identity));
        assert_eq!(Init::Identity.up(&mut ChaCha8Rng::seed_from_u64(3), 4, 48), [0.0; 4]);
        // 20,000 elements are 48 × 416 and some.
        assert!((deviation(&draw(Init::XavierNormal)) - (2.0f32 / (48.0 + 416.0)).sqrt()).abs() < 1e-3);
        // A uniform distribution's deviation is its bound over √3.
        assert!((deviation(&draw(Init::KaimingUniform)) - 1.0 / (48.0f32 * 3.0).sqrt()).abs() < 2e-3);
    }
}
