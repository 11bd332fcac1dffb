//! Bottleneck adapters: `h + U · act(A · h)` after each attention and each MLP (Marouf et al. 2024, figure 2).

use super::{Adaptation, Drawn, Settings};
use crate::backbone::{BackboneConfig, ModuleSet, Part};

/// Adapters without biases, the backbone's non-linearity between them.
#[derive(Debug)]
pub struct Adapters;

impl Adaptation for Adapters {
    fn name(&self) -> &'static str {
        "adapters"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/adapters.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        config.adapters()
    }

    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        let Drawn { count, fan_in, init, .. } = *draw;
        match part {
            Part::Up => init.up(draw.random, count, fan_in),
            _ => init.down(draw.random, count, fan_in),
        }
    }

    fn follows_sigma(&self) -> bool {
        true
    }
}
