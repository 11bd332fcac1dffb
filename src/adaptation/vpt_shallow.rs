//! VPT-shallow (Jia et al. 2022): n prompts beside the tokens from the first block on, where they become what the blocks make
//! of them. So there is no late start: every block has n more tokens.

use super::{Adaptation, Drawn, Settings, vpt_deep};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site};

/// Prompts before the first block.
#[derive(Debug)]
pub struct VptShallow;

impl Adaptation for VptShallow {
    fn name(&self) -> &'static str {
        "vpt-shallow"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/vpt-shallow.json")
    }

    fn modules(&self, _: &BackboneConfig, _: &Settings) -> ModuleSet {
        [Module { site: Site::new(0, Place::Tokens), form: Form::Prompts }].into_iter().collect()
    }

    fn begin(&self, _: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        draw.by(vpt_deep::first(draw.config))
    }
}
