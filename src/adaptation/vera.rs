//! VeRA (Kopiczko et al. 2024): `W x + b ⊙ (B · (d ⊙ (A · x)))` beside the query and the value projection.
//!
//! A and B are frozen and never stored: they are drawn from the setting `seed`. Number k of the generator SplitMix64
//! (Steele et al. 2014), counted from 0, is
//!
//! ```text
//! z = seed + (k + 1) · 0x9E3779B97F4A7C15           everything modulo 2⁶⁴
//! z = (z ^ (z >> 30)) · 0xBF58476D1CE4E5B9
//! z = (z ^ (z >> 27)) · 0x94D049BB133111EB
//! z ^ (z >> 31)
//! ```
//!
//! Its upper 24 bits over 2²³, less 1, lie in [-1, 1). Times the bound, `A[i, j]` is number `2 (i r + j)` and `B[j, i]`
//! number `2 (i r + j) + 1`, with channel i of D and rank j of r. The bound of A is √(6 / D), D the widest block's, that of
//! B √(6 / r), as PEFT has them. Blocks of fewer channels have the first rows of A and columns of B.

use super::factor::{First, factor};
use super::{Adaptation, Error, Factor, Fit, Settings};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};
use crate::graph::ops::Mul;
use crate::graph::{self, Constant, Dim, Graph, Label, ParameterName, Wire, trained};

/// A vector of the rank and one of the output for each layer, between random matrices that all share.
#[derive(Debug)]
pub struct Vera;

/// What d is at first (PEFT); b is zero, so that the network starts at the backbone.
const FIRST: f32 = 0.1;

/// d, `[r]`, and b, `[D_out]`.
fn vectors(fit: Fit<'_>, module: Module) -> [Factor; 2] {
    let factor = |label, size, first| Factor {
        name: ParameterName::Factor(module, label),
        shape: vec![size],
        first: First::Constant(first),
    };
    let output = fit.place(module).map_or(0, |place| place.width());
    [factor(Label::of("d"), fit.width(module), FIRST), factor(Label::of("b"), output, 0.0)]
}

/// Number k of the generator, from -1 to 1.
fn number(seed: u64, k: u64) -> f32 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}

/// The first rows of A, `[D_in, r]`, or columns of B, `[r, D_out]`.
fn frozen(fit: Fit<'_>, module: Module, part: Part) -> Constant {
    let (seed, r) = (fit.settings.seed("seed"), fit.width(module));
    let widest = fit.config.blocks().iter().map(|block| fit.config.block_width(block)).max().unwrap_or(1);
    let place = fit.place(module);
    let element = |i: usize, j: usize, second: u64| number(seed, 2 * (i * r + j) as u64 + second);
    if part == Part::Down {
        let (rows, bound) = (place.map_or(0, |place| place.input), (6.0 / widest as f32).sqrt());
        let row = |i| (0..r).map(move |j| bound * element(i, j, 0));
        return Constant::F32 { shape: vec![rows, r], data: (0..rows).flat_map(row).collect() };
    }
    let (columns, bound) = (place.map_or(0, |place| place.width()), (6.0 / r.max(1) as f32).sqrt());
    let row = |j| (0..columns).map(move |i| bound * element(i, j, 1));
    Constant::F32 { shape: vec![r, columns], data: (0..r).flat_map(row).collect() }
}

impl Adaptation for Vera {
    fn name(&self) -> &'static str {
        "vera"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/vera.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let form = Form::Bypass { source: Source::Input, activation: None };
        let at = |block| [Place::Q, Place::V].map(|place| Module { site: Site::new(block, place), form });
        config.blocks().iter().flat_map(at).collect()
    }

    fn trained(&self, _: Module) -> Vec<Part> {
        Vec::new()
    }

    fn is_factorised(&self, _: ModuleSet) -> bool {
        true
    }

    fn factors(&self, fit: Fit<'_>) -> Vec<Factor> {
        fit.modules().flat_map(|module| vectors(fit, module)).collect()
    }

    /// All layers share A and B, so they have one rank.
    fn check(&self, fit: Fit<'_>) -> Result<(), Error> {
        fit.modules().try_for_each(|module| fit.same_rank(self.name(), module))
    }

    /// `down = A ⊙ d`, `up = B ⊙ b`.
    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        let ParameterName::Module(module, part) = name else { return trained(g, name, shape) };
        let ([d, b], is_down) = (vectors(fit, module), part == Part::Down);
        let (vector, word) = if is_down { (d, "a") } else { (b, "b") };
        let width = fit.place(module).map_or(0, |place| if is_down { place.input } else { place.width() });
        let matrix = g.shared_constant(&format!("vera.{word}.{width}"), || frozen(fit, module, part))?;
        let vector = factor(g, vector.name, &vector.shape)?;
        g.wire(format!("{module}.{}.made", part.as_str()), Mul, &[matrix, vector])
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of seed 1234567, as the reference code gives them.
        let reference = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (k, expected) in (0..).zip(reference) {
            let expected = (expected >> 40) as f64 / f64::from(1 << 23) - 1.0;
            assert_eq!(f64::from(number(1_234_567, k)), expected);
        }
    }
}
