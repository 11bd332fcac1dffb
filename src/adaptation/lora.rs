//! LoRA (Hu et al. 2021): `W x + α/r · B · A · x` beside the query and the value projection.

use super::{Adaptation, Drawn, Settings};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};

/// Low-rank changes of the query and value projections, with α = r: the scale is 1.
#[derive(Debug)]
pub struct Lora;

impl Adaptation for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/lora.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let form = Form::Bypass { source: Source::Input, activation: None };
        let at = |block| [Place::Q, Place::V].map(|place| Module { site: Site::new(block, place), form });
        config.blocks().iter().flat_map(at).collect()
    }

    /// A as PEFT draws it (Kaiming uniform, a = √5), B zero: the network starts at the backbone.
    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        match part {
            Part::Down => draw.uniform(),
            _ => draw.constant(0.0),
        }
    }
}
