//! The backbone's matrices in 8-bit integers, made once when the weights become resident.

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::Mmap;
use ort::memory::Allocator;
use ort::value::DynValue;

use super::store::floats;
use super::{Error, memory};
use crate::backbone::{BackboneConfig, SiteSet, TensorEntry, WeightLayout};
use crate::graph::{Derived, Plan, Quantised, build, derived, quantise, quantised};

/// Quantises every matrix that a program of the backbone multiplies by, and adds what comes of it to the tensors. The
/// caller keeps what is returned, which the tensors point into, at least as long as these.
pub(super) fn derive(
    map: &Mmap,
    config: &BackboneConfig,
    (layout, tensors): (&mut WeightLayout, &mut BTreeMap<String, Arc<DynValue>>),
) -> Result<Vec<Quantised>, Error> {
    if saturates() {
        tracing::warn!(
            "this CPU has no VNNI instructions: sums of int8 products may saturate, and are not faster"
        );
    }
    let graph = quantised(&build(config, &Plan::whole(config, SiteSet::EMPTY))?)?;
    let (info, allocator) = (memory::cpu_memory()?, Allocator::default());
    let mut kept = Vec::new();
    for (name, _) in graph.weights() {
        let Some((weight, Derived::Matrix)) = derived(name) else { continue };
        let Some(entry) = layout.get(weight).cloned() else { continue };
        let &[_, columns] = &entry.shape[..] else { continue };
        let made = quantise(floats(map, weight, &entry)?, columns);
        let (matrix, scales, offsets) = (&made.matrix, &made.scales, &made.offsets);
        #[allow(unsafe_code)]
        // SAFETY: each vector has as many elements as the shape; moving the owner does not move them, and the caller
        // keeps it, unchanged, longer than the tensors made here.
        let parts = unsafe {
            [
                (
                    Derived::Matrix,
                    memory::alias(&info, matrix.as_ptr(), &entry.shape, &allocator)?,
                    matrix.len(),
                ),
                (
                    Derived::Scales,
                    memory::alias(&info, scales.as_ptr(), &[columns], &allocator)?,
                    4 * columns,
                ),
                (
                    Derived::Offsets,
                    memory::alias(&info, offsets.as_ptr(), &[columns], &allocator)?,
                    4 * columns,
                ),
            ]
        };
        for (kind, tensor, length) in parts {
            let shape = if kind == Derived::Matrix { entry.shape.clone() } else { vec![columns] };
            let name = kind.name(weight);
            // A model must say where a weight's bytes lie even when it is lent one; these bytes are never read.
            layout.insert(&name, TensorEntry { shape, offset: entry.offset, length });
            tensors.insert(name, Arc::new(tensor));
        }
        kept.push(made);
    }
    Ok(kept)
}

/// Whether ONNX Runtime's kernel adds pairs of products in 16 bits, which the largest do not fit into (its documentation
/// on quantisation, "reduce_range").
#[cfg(target_arch = "x86_64")]
fn saturates() -> bool {
    !std::is_x86_feature_detected!("avx512vnni") && !std::is_x86_feature_detected!("avxvnni")
}

/// As above; Arm's kernels add in 32 bits.
#[cfg(not(target_arch = "x86_64"))]
fn saturates() -> bool {
    false
}
