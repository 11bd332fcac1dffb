//! The weights on a GPU: copied there once, aliased by every program.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use memmap2::Mmap;
use ort::session::Session;
use ort::value::{DynValue, Tensor, TensorRef};

use super::device_tensor::DeviceMemory;
use super::element::Element;
use super::halved::Half;
use super::mapped::floats;
use super::{Error, Runtime, memory};
use crate::backbone::WeightLayout;

/// The weights as they lie in the host's memory.
pub(super) struct HostWeights<'a> {
    pub(super) map: &'a Mmap,
    pub(super) layout: &'a WeightLayout,
    pub(super) halves: &'a [Half],
}

/// Weights on a device, by name, and what keeps them there.
pub(super) struct Uploaded {
    pub(super) tensors: BTreeMap<String, Arc<DynValue>>,
    pub(super) memory: DeviceWeights,
}

/// Device tensors and the session whose allocator made them.
pub(super) struct DeviceWeights {
    _tensors: Vec<Tensor<f32>>,
    _halves: Vec<Tensor<f16>>,
    _session: Option<Arc<Session>>,
}

/// Copies the weights to the GPU once and aliases them there: ONNX Runtime shares a given initializer between
/// sessions only where it already lies on the device it is planned for.
pub(super) fn upload(runtime: &Runtime, host: &HostWeights<'_>) -> Result<Uploaded, Error> {
    let memory = DeviceMemory::of(runtime)?;
    let (mut tensors, mut owners, mut half_owners) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, entry) in host.layout.iter() {
        let (alias, owner) = copy(&memory, name, (&entry.shape, floats(host.map, name, entry)?))?;
        tensors.insert(name.to_owned(), Arc::new(alias));
        owners.push(owner);
    }
    for Half { name, entry, values } in host.halves {
        let (alias, owner) = copy(&memory, name, (&entry.shape, values))?;
        tensors.insert(name.clone(), Arc::new(alias));
        half_owners.push(owner);
    }
    let memory = DeviceWeights { _tensors: owners, _halves: half_owners, _session: memory.into_session() };
    Ok(Uploaded { tensors, memory })
}

/// A copy of a weight on the device, and the tensor that owns it.
fn copy<T: Element>(
    memory: &DeviceMemory,
    name: &str,
    (shape, data): (&[usize], &[T]),
) -> Result<(DynValue, Tensor<T>), Error> {
    let action = || format!("upload weight {name}");
    let host = TensorRef::from_array_view((shape.to_vec(), data)).map_err(Error::call(action()))?;
    let _turn = memory.captures.beside();
    let mut owner = Tensor::<T>::new(&memory.allocator, shape.to_vec()).map_err(Error::call(action()))?;
    host.copy_into(&mut owner).map_err(Error::call(action()))?;
    let data = owner.data_ptr_mut().cast::<T>().cast_const();
    #[allow(unsafe_code)]
    // SAFETY: `data` is the owner's device memory, and the store keeps the owner longer than the alias.
    let alias = unsafe { memory::alias(owner.memory_info(), data, shape, &memory.allocator) }?;
    Ok((alias, owner))
}
