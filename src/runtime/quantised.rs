//! The backbone's matrices in 8-bit integers, made once when the weights become resident.

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::Mmap;
use ort::memory::Allocator;
use ort::value::DynValue;

use super::kernel::{exact_bytes, unsigned};
use super::mapped::floats;
use super::{Error, Runtime, memory};
use crate::backbone::{BackboneConfig, ModuleSet, TensorEntry, WeightLayout};
use crate::graph::{Bytes, Derived, Plan, Quantised, WeightRange, build, derived, quantise, quantised};

/// Range of the quantised matrices, and how their bytes are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme {
    pub(super) range: WeightRange,
    pub(super) bytes: Bytes,
}

/// The fastest scheme that is exact for a range.
///
/// # Errors
/// As [`exact_bytes`].
pub(super) fn scheme(runtime: &Runtime, range: WeightRange) -> Result<Scheme, Error> {
    let bytes = exact_bytes(runtime, range)?;
    if bytes == Bytes::Unsigned {
        tracing::warn!(
            "this CPU's fast 8-bit kernels do not sum these products exactly: slower ones that do are used. `server \
             bench --precisions` measures what each precision gains here"
        );
    }
    Ok(Scheme { range, bytes })
}

/// Quantises every matrix that a program of the backbone multiplies by, and adds what comes of it to the tensors. The
/// caller keeps what is returned, which the tensors point into, at least as long as these.
pub(super) fn derive(
    map: &Mmap,
    config: &BackboneConfig,
    Scheme { range, bytes }: Scheme,
    (layout, tensors): (&mut WeightLayout, &mut BTreeMap<String, Arc<DynValue>>),
) -> Result<Vec<Quantised>, Error> {
    let graph = quantised(&build(config, &Plan::whole(config, ModuleSet::EMPTY))?, bytes)?;
    let (info, allocator) = (memory::cpu_memory()?, Allocator::default());
    let mut kept = Vec::new();
    for (name, _) in graph.weights() {
        let Some((weight, Derived::Matrix)) = derived(name) else { continue };
        let Some(entry) = layout.get(weight).cloned() else { continue };
        let &[_, columns] = &entry.shape[..] else { continue };
        let mut made = quantise(floats(map, weight, &entry)?, columns, range);
        if bytes == Bytes::Unsigned {
            made.matrix.iter_mut().for_each(|w| *w = unsigned(*w).cast_signed());
        }
        let (matrix, scales, offsets) = (&made.matrix, &made.scales, &made.offsets);
        #[allow(unsafe_code)]
        // SAFETY: each vector has as many elements as the shape; moving the owner does not move them, and the caller
        // keeps it, unchanged, longer than the tensors made here.
        let parts = unsafe {
            [
                (
                    Derived::Matrix,
                    match bytes {
                        Bytes::Signed => memory::alias(&info, matrix.as_ptr(), &entry.shape, &allocator)?,
                        Bytes::Unsigned => {
                            memory::alias(&info, matrix.as_ptr().cast::<u8>(), &entry.shape, &allocator)?
                        }
                    },
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
