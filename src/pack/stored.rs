//! A pack as it lies on disk. What serves is a [`Pack`], which only an expansion makes of it.

use std::collections::BTreeMap;

use super::factored::{Factored, served_bytes};
use super::{Base, Error, Head, Manifest, Pack, Weights};
use crate::backbone::{BackboneConfig, Module, ModuleSet};
use crate::graph::ParameterName;

/// A pack that was read and checked, its served tensors not yet made.
#[derive(Debug)]
pub struct Stored {
    /// The manifest.
    pub manifest: Manifest,
    /// Every module, with its width.
    pub widths: BTreeMap<Module, usize>,
    /// The classifier.
    pub head: Head,
    /// FLOPs of one image through the backbone and this pack's modules.
    pub flops: u64,
    pub(super) tensors: Tensors,
    pub(super) digest: String,
}

/// The tensors of a pack's modules.
#[derive(Debug)]
pub(super) enum Tensors {
    /// As they are served.
    Served(BTreeMap<Module, Weights>),
    /// What they are made of.
    Factored(Factored),
}

impl Stored {
    /// SHA-256 over manifest and weights, as that of the [`Pack`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The pack as it serves. Made tensors are computed here: the first request of a cold pack waits, no batch does.
    ///
    /// # Errors
    /// When they cannot be made, or are not finite.
    pub fn pack(self, base: &Base) -> Result<Pack, Error> {
        let weights = match self.tensors {
            Tensors::Served(weights) => weights,
            Tensors::Factored(factored) => expanded(&factored, base)?,
        };
        let modules: ModuleSet = self.widths.keys().copied().collect();
        let modules = modules.union(self.manifest.reading());
        let Self { manifest, head, flops, digest, .. } = self;
        Ok(Pack { manifest, modules, weights, head, flops, digest })
    }

    /// Elements of the modules' tensors on disk.
    pub fn stored_parameters(&self) -> usize {
        match &self.tensors {
            Tensors::Served(weights) => weights.values().map(Weights::parameters).sum(),
            Tensors::Factored(factored) => factored.tensors.values().map(Vec::len).sum(),
        }
    }

    /// Elements of a module's tensors as they are served.
    pub fn served_parameters(&self, module: Module, backbone: &BackboneConfig) -> usize {
        let width = self.widths.get(&module).copied().unwrap_or(0);
        (served_bytes(&BTreeMap::from([(module, width)]), backbone) / 4) as usize
    }
}

/// The modules as they are served.
///
/// # Errors
/// [`Error::Unexpanded`] where nothing expands them, [`Error::Expansion`] with what went wrong, [`Error::NotFinite`]
/// where finite factors give what is not.
fn expanded(factored: &Factored, base: &Base) -> Result<BTreeMap<Module, Weights>, Error> {
    let method = factored.kind.adaptation.name();
    let expand = base.expand().ok_or(Error::Unexpanded { method })?;
    let mut made = expand.expand(factored).map_err(|reason| Error::Expansion { method, reason })?;
    let mut weights = BTreeMap::new();
    for (&module, &width) in &factored.kind.widths {
        let mut parts = Vec::new();
        for &part in module.form.parts() {
            let name = ParameterName::Module(module, part);
            let values = made.remove(&name).or_else(|| factored.tensors.get(&name).cloned());
            let shape = base.config().part_shape(module, part, width).unwrap_or_default();
            parts.push((part, checked(method, name, values.unwrap_or_default(), &shape)?));
        }
        weights.insert(module, Weights::new(width, parts));
    }
    Ok(weights)
}

fn checked(
    method: &'static str,
    name: ParameterName,
    values: Vec<f32>,
    shape: &[usize],
) -> Result<Vec<f32>, Error> {
    if values.len() != shape.iter().product::<usize>() {
        let found = format!("{} elements as {method} makes it", values.len());
        return Err(Error::Mismatch { tensor: name.to_string(), found, expected: format!("{shape:?}") });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let tensor = format!("{name}, as it is served,");
            Err(Error::NotFinite { tensor, index, value: values[index] })
        }
        None => Ok(values),
    }
}
