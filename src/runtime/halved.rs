//! The backbone's weights in 16-bit floats, made once when the weights become resident.

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;

use super::mapped::floats;
use super::{Device, Error, Runtime};
use crate::backbone::{BackboneConfig, ModuleSet, TensorEntry, WeightLayout};
use crate::graph::{Derived, Plan, build, derived, halved};

/// A weight in 16-bit floats.
pub(super) struct Half {
    /// Its name in halved graphs.
    pub(super) name: String,
    /// Its shape; a model must say where a weight's bytes lie even when it is lent one, and these are never read there.
    pub(super) entry: TensorEntry,
    pub(super) values: Vec<f16>,
}

/// Rounds every weight that a program of the backbone reads in halves. With modules it reads no others.
///
/// # Errors
/// When a value does not fit.
pub(super) fn halves(
    runtime: &Runtime,
    map: &Mmap,
    config: &BackboneConfig,
    layout: &WeightLayout,
) -> Result<Vec<Half>, Error> {
    if runtime.device() == Device::Cpu {
        tracing::warn!(
            "16-bit floats are for GPUs: a CPU without instructions for them multiplies the rounded weights in fp32"
        );
    }
    let graph = halved(&build(config, &Plan::whole(config, ModuleSet::EMPTY))?)?;
    let mut made = Vec::new();
    for (name, _) in graph.weights() {
        let Some((weight, Derived::Half)) = derived(name) else { continue };
        let Some(entry) = layout.get(weight) else { continue };
        let data = floats(map, weight, entry)?;
        let mut values = vec![f16::ZERO; data.len()];
        values.convert_from_f32_slice(data);
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let reason = format!("{} is too large for a 16-bit float", data[at]);
            return Err(Error::Call { action: format!("halve weight {weight}"), reason });
        }
        let entry = TensorEntry { length: size_of::<f16>() * values.len(), ..entry.clone() };
        made.push(Half { name: name.into(), entry, values });
    }
    Ok(made)
}
