//! SSF (Lian et al. 2022): `γ ⊙ y + β` after every linear layer, norm and embedding.

use super::layers::everywhere;
use super::{Adaptation, Drawn, Settings};
use crate::backbone::{BackboneConfig, Form, ModuleSet, Part};

/// Deviation of γ about 1 and of β about 0 at first (the authors' code).
const DEVIATION: f64 = 0.02;

/// Scales and shifts of features, where the authors' code has them. What follows the last norm is left to the head, which
/// is as linear.
#[derive(Debug)]
pub struct Ssf;

impl Adaptation for Ssf {
    fn name(&self) -> &'static str {
        "ssf"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/ssf.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        everywhere(config, Form::Affine)
    }

    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        let mean = if part == Part::Scale { 1.0 } else { 0.0 };
        draw.normal(mean, DEVIATION)
    }
}
