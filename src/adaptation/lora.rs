//! LoRA (Hu et al. 2021): `W x + α/r · B · A · x` beside the query and the value projection, or other linear layers.

use super::{Adaptation, Drawn, Settings};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};

/// Low-rank changes of the query and value projections, with α = r: the scale is 1.
#[derive(Debug)]
pub struct Lora;

/// The linear layers that are changed, as the setting names them.
fn places(word: &str) -> &'static [Place] {
    match word {
        "q+k+v" => &[Place::Q, Place::K, Place::V],
        "q+k+v+proj" => &[Place::Q, Place::K, Place::V, Place::Proj],
        "fc1+fc2" => &[Place::Fc1, Place::Fc2],
        "all" => &[Place::Q, Place::K, Place::V, Place::Proj, Place::Fc1, Place::Fc2],
        _ => &[Place::Q, Place::V],
    }
}

impl Adaptation for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/lora.json")
    }

    fn modules(&self, config: &BackboneConfig, settings: &Settings) -> ModuleSet {
        let form = Form::Bypass { source: Source::Input, activation: None };
        let places = places(settings.word("places"));
        let at = |block| places.iter().map(move |&place| Module { site: Site::new(block, place), form });
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
