//! BitFit (Ben Zaken et al. 2022): only biases are trained, `b + δ`.

use super::layers::everywhere;
use super::{Adaptation, Drawn, Settings};
use crate::backbone::{BackboneConfig, Form, ModuleSet, Part, Place};

/// Where a bias changes nothing: it adds one number to all scores of a query. The last norm's changes nothing that the
/// head's own bias does not, and it lies outside the blocks.
const IDLE: Place = Place::K;

/// Shifts of every linear layer, norm and embedding.
#[derive(Debug)]
pub struct BitFit;

impl Adaptation for BitFit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/bitfit.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        everywhere(config, Form::Shift).filter(|module| module.site.place != IDLE)
    }

    fn begin(&self, _: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        draw.constant(0.0)
    }
}
