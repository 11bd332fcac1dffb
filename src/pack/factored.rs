//! Packs that keep smaller tensors than they serve.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::adaptation::{Chosen, Kind, Settings};
use crate::backbone::{BackboneConfig, Module};
use crate::graph::ParameterName;

/// The factorised method of a pack, as its manifest has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factorised {
    /// Its name.
    pub method: String,
    /// Every setting it has.
    pub settings: Settings,
}

impl Factorised {
    /// The method with the widths of its modules, once it fits the backbone.
    pub(super) fn kind(
        &self,
        widths: &BTreeMap<Module, usize>,
        backbone: &BackboneConfig,
    ) -> Result<Kind, Error> {
        let adaptation = Chosen::factorised(&self.method, widths.keys().copied().collect())?;
        let settings = adaptation.checked(self.settings.clone())?;
        let kind = Kind { adaptation, settings, widths: widths.clone() };
        kind.on(backbone).check()?;
        Ok(kind)
    }
}

impl From<&Kind> for Factorised {
    fn from(kind: &Kind) -> Self {
        Self { method: kind.adaptation.name().into(), settings: kind.settings.clone() }
    }
}

/// What a factorised pack keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Factored {
    /// How served tensors are made.
    pub kind: Kind,
    /// What they are made of, laid out as programs want it; also tensors that are served as they are.
    pub tensors: BTreeMap<ParameterName, Vec<f32>>,
}

/// Makes served tensors.
pub trait Expand: Debug + Send + Sync {
    /// The served tensors that are made of others.
    ///
    /// # Errors
    /// With what the runtime said.
    fn expand(&self, factored: &Factored) -> Result<BTreeMap<ParameterName, Vec<f32>>, String>;
}

/// Bytes of every served tensor of modules of these widths.
pub(super) fn served_bytes(widths: &BTreeMap<Module, usize>, backbone: &BackboneConfig) -> u64 {
    let size = |(&module, &width): (&Module, &usize)| {
        let parts = module.form.parts().iter();
        let shapes = parts.filter_map(move |&part| backbone.part_shape(module, part, width));
        shapes.map(|shape| shape.iter().map(|&n| n as u64).product::<u64>()).sum::<u64>()
    };
    size_of::<f32>() as u64 * widths.iter().map(size).sum::<u64>()
}
