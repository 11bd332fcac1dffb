//! BitFit (Ben Zaken et al. 2022): only biases are trained, `b + δ`.

use super::{Adaptation, Drawn};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site};
use crate::graph::Express;

/// Where a bias is. The key's changes nothing, because it adds one number to all scores of a query, and the last norm's
/// changes nothing that the head's own bias does not: both are left out.
const PLACES: [Place; 9] = [
    Place::Tokens,
    Place::TokensNorm,
    Place::Norm1,
    Place::Q,
    Place::V,
    Place::Proj,
    Place::Norm2,
    Place::Fc1,
    Place::Fc2,
];

/// Shifts of every linear layer, norm and embedding.
#[derive(Debug)]
pub struct BitFit;

impl Express for BitFit {}

impl Adaptation for BitFit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../../../recipes/bitfit.json")
    }

    fn modules(&self, config: &BackboneConfig) -> ModuleSet {
        at(config, &PLACES, Form::Shift)
    }

    fn begin(&self, _: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        draw.constant(0.0)
    }
}

/// A form at each of the places that a block has, in every block.
pub(super) fn at(config: &BackboneConfig, places: &[Place], form: Form) -> ModuleSet {
    let sites =
        config.blocks().iter().flat_map(|block| places.iter().map(move |&place| Site::new(block, place)));
    sites.filter(|site| config.place(*site).is_some()).map(|site| Module { site, form }).collect()
}
