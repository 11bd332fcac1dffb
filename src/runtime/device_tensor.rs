//! Tensors that stay on the device from run to run.

use std::ops::Range;
use std::ptr::NonNull;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynValue, Tensor, TensorRef, TensorValueType};

use super::{Device, Error, Runtime, memory};

/// Elements that are filled in one go.
const CHUNK: usize = 1 << 22;

/// A device's memory, to make tensors in.
pub struct DeviceMemory {
    device: Device,
    pub(super) allocator: Allocator,
    /// What the allocator belongs to; the CPU's is nobody's.
    session: Option<Session>,
}

/// A tensor `[P, ..]` in a device's memory, of which each entry can be written.
pub struct DeviceTensor {
    shape: Vec<usize>,
    value: Tensor<f32>,
    data: Data,
    device: Device,
}

/// Where a tensor's elements lie.
struct Data(NonNull<f32>);

// SAFETY: an address, which only ONNX Runtime and `DeviceTensor::write` follow; the tensor beside it owns the memory.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

impl DeviceMemory {
    /// The memory of a runtime's device.
    ///
    /// # Errors
    /// When the device cannot be reached.
    pub fn of(runtime: &Runtime) -> Result<Self, Error> {
        let Device::Cuda(number) = runtime.device() else {
            return Ok(Self { device: Device::Cpu, allocator: Allocator::default(), session: None });
        };
        let session = runtime.probe()?;
        let info =
            MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Device, MemoryType::Default)
                .map_err(Error::call("describe device memory"))?;
        let allocator = Allocator::new(&session, info).map_err(Error::call("reach the device's memory"))?;
        Ok(Self { device: runtime.device(), allocator, session: Some(session) })
    }

    /// What keeps the memory, for tensors that were made in it.
    pub(super) fn into_session(self) -> Option<Session> {
        self.session
    }

    /// A tensor whose every element is `value`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn filled(&self, shape: &[usize], value: f32) -> Result<DeviceTensor, Error> {
        let made = self.room(shape)?;
        let (entries, size) = (made.entries(), made.entry());
        let most = (CHUNK / size.max(1)).clamp(1, entries.max(1));
        let values = vec![value; most * size];
        for start in (0..entries).step_by(most) {
            let count = most.min(entries - start);
            made.copy((start * size, &[count * size]), &values[..count * size])?;
        }
        Ok(made)
    }

    /// A tensor of these elements.
    ///
    /// # Errors
    /// When the device has no room, and when there are too few elements or too many.
    pub fn of_values(&self, shape: &[usize], values: &[f32]) -> Result<DeviceTensor, Error> {
        let made = self.room(shape)?;
        if values.len() != made.entries() * made.entry() {
            let reason = format!("got {} elements", values.len());
            return Err(Error::Call { action: format!("make a tensor {shape:?}"), reason });
        }
        made.copy((0, shape), values)?;
        Ok(made)
    }

    /// A tensor of whatever is in its memory, for a run to write to before one reads it.
    ///
    /// # Errors
    /// When the device has no room.
    pub(crate) fn room(&self, shape: &[usize]) -> Result<DeviceTensor, Error> {
        let action = || format!("make a tensor {shape:?} on {}", self.device);
        let mut value = Tensor::<f32>::new(&self.allocator, shape.to_vec()).map_err(Error::call(action()))?;
        let data = value.data_ptr_mut().cast::<f32>();
        let data = Data(NonNull::new(data).unwrap_or(NonNull::dangling()));
        Ok(DeviceTensor { shape: shape.to_vec(), value, data, device: self.device })
    }
}

impl DeviceTensor {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * size_of::<f32>()) as u64
    }

    /// Copies the elements of one entry there. Whoever calls sees to it that no run reads that entry meanwhile.
    ///
    /// # Errors
    /// [`Error::Call`] when there is no such entry, it has another size, or the copy fails.
    pub(crate) fn write(&self, index: usize, values: &[f32]) -> Result<(), Error> {
        let (entries, size) = (self.entries(), self.entry());
        let action = || format!("write entry {index} of a tensor {:?} on {}", self.shape, self.device);
        if index >= entries || values.len() != size {
            let reason =
                format!("got {} elements, expected {size} for one of {entries} entries", values.len());
            return Err(Error::Call { action: action(), reason });
        }
        self.copy((index * size, &self.shape[1..]), values)
    }

    /// Copies `values` to where they begin, as a tensor of that shape.
    fn copy(&self, (start, shape): (usize, &[usize]), values: &[f32]) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: whoever calls has compared `start` and `values` with the size of the tensor, which `value` owns.
        let target = unsafe { self.data.0.add(start) };
        if self.device == Device::Cpu {
            // SAFETY: as many elements as `values` has; whoever writes keeps runs away from them.
            unsafe { target.as_ptr().copy_from_nonoverlapping(values.as_ptr(), values.len()) };
            return Ok(());
        }
        let action = || format!("write to a tensor {:?} on {}", self.shape, self.device);
        let info = self.value.memory_info();
        // SAFETY: the memory is this tensor's. `ort` copies by a session of its own, whose binding it clears after each copy:
        // nothing holds the alias once this returns.
        let alias = unsafe { memory::alias(info, target.as_ptr(), shape, &Allocator::default()) }?;
        let mut alias = alias.downcast::<TensorValueType<f32>>().map_err(Error::call(action()))?;
        let host = TensorRef::from_array_view((shape.to_vec(), values)).map_err(Error::call(action()))?;
        host.copy_into(&mut alias).map_err(Error::call(action()))
    }

    /// Its elements, copied to the host. Whoever calls sees to it that no run writes to it meanwhile.
    ///
    /// # Errors
    /// When the copy fails.
    pub(crate) fn values(&self) -> Result<Vec<f32>, Error> {
        let action = || format!("read a tensor {:?} of {}", self.shape, self.device);
        let mut host =
            Tensor::<f32>::new(&Allocator::default(), self.shape.clone()).map_err(Error::call(action()))?;
        self.value.copy_into(&mut host).map_err(Error::call(action()))?;
        Ok(host.extract_tensor().1.to_vec())
    }

    /// The memory of some entries as a tensor of its own, for a run to write to. It is not used once this one is gone.
    pub(super) fn alias(&self, entries: &Range<usize>) -> Result<DynValue, Error> {
        if entries.start > entries.end || entries.end > self.entries() {
            let action = format!("write to entries {entries:?} of a tensor {:?}", self.shape);
            return Err(Error::Call { action, reason: format!("it has {} entries", self.entries()) });
        }
        let shape = [&[entries.len()], self.shape.get(1..).unwrap_or_default()].concat();
        // SAFETY: there are as many entries, as was compared.
        let data = unsafe { self.data.0.add(entries.start * self.entry()) };
        // SAFETY: the memory is this tensor's, and of that shape; whoever uses the alias keeps this tensor meanwhile.
        unsafe { memory::alias(self.value.memory_info(), data.as_ptr(), &shape, &Allocator::default()) }
    }

    /// The tensor as a run reads it.
    pub(super) fn value(&self) -> &Tensor<f32> {
        &self.value
    }

    /// Number of its entries.
    pub fn entries(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    fn entry(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product()
    }
}
