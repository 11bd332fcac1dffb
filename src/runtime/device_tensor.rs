//! Tensors that stay on the device from run to run.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use ort::memory::{AllocationDevice, Allocator, MemoryType};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef, TensorValueType};

use super::captures::Captures;
use super::element::Element;
use super::graphs::Place;
use super::host_memory::HostMemory;
use super::{Device, Error, Runtime, memory};

/// Elements that are filled in one go.
const CHUNK: usize = 1 << 22;

/// A device's memory, to make tensors in.
pub struct DeviceMemory {
    device: Device,
    pub(super) allocator: Allocator,
    pub(super) captures: Captures,
    /// What the allocator belongs to; the CPU's is nobody's.
    session: Option<Arc<Session>>,
}

/// A tensor `[P, ..]` in a device's memory, of which each entry can be written.
pub struct DeviceTensor<T: Element = f32> {
    shape: Vec<usize>,
    value: Tensor<T>,
    data: Data<T>,
    device: Device,
    captures: Captures,
}

/// A [`DeviceTensor`] whatever its elements are, as runs read it.
pub trait AnyTensor: Send + Sync {
    /// Its shape.
    fn shape(&self) -> &[usize];

    /// Where its elements begin, in the device's own terms.
    fn address(&self) -> usize;

    /// What a run is fed.
    #[doc(hidden)]
    fn value(&self) -> SessionInputValue<'_>;
}

/// Where a tensor's elements lie.
struct Data<T>(NonNull<T>);

// SAFETY: an address, which only ONNX Runtime and `DeviceTensor::write` follow; the tensor beside it owns the memory.
unsafe impl<T> Send for Data<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Data<T> {}

impl DeviceMemory {
    /// The memory of a runtime's device.
    ///
    /// # Errors
    /// When the device cannot be reached.
    pub fn of(runtime: &Runtime) -> Result<Self, Error> {
        let session = match runtime.device() {
            Device::Cpu => None,
            Device::Cuda(_) => Some(Arc::new(runtime.probe()?)),
        };
        Self::by(runtime.device(), session, runtime.captures())
    }

    /// The same memory, for another thread.
    ///
    /// # Errors
    /// When the device cannot be reached.
    pub fn beside(&self) -> Result<Self, Error> {
        Self::by(self.device, self.session.clone(), self.captures.clone())
    }

    fn by(device: Device, session: Option<Arc<Session>>, captures: Captures) -> Result<Self, Error> {
        let allocator = match (device, &session) {
            (Device::Cuda(number), Some(session)) => {
                memory::session_allocator(session, number, (AllocationDevice::CUDA, MemoryType::Default))?
            }
            _ => Allocator::default(),
        };
        Ok(Self { device, allocator, captures, session })
    }

    /// Memory of the host's that the device reads fast.
    pub fn host(&self) -> HostMemory {
        HostMemory::of(self.device, self.session.as_ref(), self.captures.clone())
    }

    /// What keeps the memory, for tensors that were made in it.
    pub(super) fn into_session(self) -> Option<Arc<Session>> {
        self.session
    }

    /// A tensor whose every element is `value`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn filled<T: Element>(&self, shape: &[usize], value: T) -> Result<DeviceTensor<T>, Error> {
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
    pub(crate) fn room<T: Element>(&self, shape: &[usize]) -> Result<DeviceTensor<T>, Error> {
        let action = || format!("make a tensor {shape:?} on {}", self.device);
        let _turn = self.captures.beside();
        let mut value = Tensor::<T>::new(&self.allocator, shape.to_vec()).map_err(Error::call(action()))?;
        let data = value.data_ptr_mut().cast::<T>();
        let data = Data(NonNull::new(data).unwrap_or(NonNull::dangling()));
        let captures = self.captures.clone();
        Ok(DeviceTensor { shape: shape.to_vec(), value, data, device: self.device, captures })
    }
}

impl<T: Element> DeviceTensor<T> {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * size_of::<T>()) as u64
    }

    /// Number of its entries.
    pub fn entries(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    fn entry(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product()
    }

    /// Copies the elements of one entry there. Whoever calls sees to it that no run reads that entry meanwhile.
    ///
    /// # Errors
    /// [`Error::Call`] when there is no such entry, it has another size, or the copy fails.
    pub(crate) fn write(&self, index: usize, values: &[T]) -> Result<(), Error> {
        self.write_all(index..index.saturating_add(1), values)
    }

    /// As [`DeviceTensor::write`], of entries side by side.
    ///
    /// # Errors
    /// As [`DeviceTensor::write`].
    pub(crate) fn write_all(&self, entries: Range<usize>, values: &[T]) -> Result<(), Error> {
        let (all, size) = (self.entries(), self.entry());
        if entries.end > all || values.len() != entries.len() * size {
            let action = format!("write entries {entries:?} of a tensor {:?} on {}", self.shape, self.device);
            let reason = format!("got {} elements, expected {size} for each of {all} entries", values.len());
            return Err(Error::Call { action, reason });
        }
        self.copy((entries.start * size, &self.part(&entries)), values)
    }

    /// Copies `values` to where they begin, as a tensor of that shape.
    fn copy(&self, (start, shape): (usize, &[usize]), values: &[T]) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        if self.device == Device::Cpu {
            // SAFETY: whoever calls has compared `start` and `values` with the size of the tensor, which `value` owns, and
            // keeps runs away from what is written.
            unsafe {
                self.data.0.add(start).as_ptr().copy_from_nonoverlapping(values.as_ptr(), values.len())
            };
            return Ok(());
        }
        let action = || format!("write to a tensor {:?} on {}", self.shape, self.device);
        let _turn = self.captures.beside();
        let mut target = self.at(start, shape)?;
        let host = TensorRef::from_array_view((shape.to_vec(), values)).map_err(Error::call(action()))?;
        host.copy_into(&mut target).map_err(Error::call(action()))
    }

    /// Copies its first entries to entries of another tensor on the device. Whoever calls sees to it that nothing else uses
    /// those meanwhile.
    ///
    /// # Errors
    /// [`Error::Call`] when there are too few entries, they have other sizes, or the copy fails.
    pub(crate) fn copy_to(&self, (target, entries): (&Self, &Range<usize>)) -> Result<(), Error> {
        let action =
            || format!("copy to entries {entries:?} of a tensor {:?} on {}", target.shape, self.device);
        let fits = entries.end <= target.entries() && entries.len() <= self.entries();
        if !fits || self.shape.get(1..) != target.shape.get(1..) {
            return Err(Error::Call { action: action(), reason: format!("they come from {:?}", self.shape) });
        }
        let part = self.part(entries);
        let _turn = self.captures.beside();
        let mut to = target.at(entries.start * target.entry(), &part)?;
        self.at(0, &part)?.copy_into(&mut to).map_err(Error::call(action()))
    }

    /// Its elements, copied to the host. Whoever calls sees to it that no run writes to it meanwhile.
    ///
    /// # Errors
    /// When the copy fails.
    pub(crate) fn values(&self) -> Result<Vec<T>, Error> {
        self.first(self.entries())
    }

    /// As [`DeviceTensor::values`], of the first entries.
    ///
    /// # Errors
    /// When there are too few, or the copy fails.
    pub(crate) fn first(&self, entries: usize) -> Result<Vec<T>, Error> {
        let action = || format!("read {entries} entries of a tensor {:?} of {}", self.shape, self.device);
        if entries > self.entries() {
            return Err(Error::Call { action: action(), reason: format!("it has {}", self.entries()) });
        }
        let shape = self.part(&(0..entries));
        let _turn = self.captures.beside();
        let mut host =
            Tensor::<T>::new(&Allocator::default(), shape.clone()).map_err(Error::call(action()))?;
        self.at(0, &shape)?.copy_into(&mut host).map_err(Error::call(action()))?;
        Ok(host.extract_tensor().1.to_vec())
    }

    /// The memory of some entries as a tensor of its own, for a run to write to. It is not used once this one is gone.
    pub(super) fn alias(&self, entries: &Range<usize>) -> Result<DynValue, Error> {
        if entries.start > entries.end || entries.end > self.entries() {
            let action = format!("write to entries {entries:?} of a tensor {:?}", self.shape);
            return Err(Error::Call { action, reason: format!("it has {} entries", self.entries()) });
        }
        self.at(entries.start * self.entry(), &self.part(entries)).map(Tensor::into_dyn)
    }

    /// Where some entries lie.
    pub(super) fn place(&self, entries: &Range<usize>) -> Place {
        let before = entries.start * self.entry() * size_of::<T>();
        Place { address: self.address() + before, shape: self.part(entries) }
    }

    /// Shape of some entries.
    fn part(&self, entries: &Range<usize>) -> Vec<usize> {
        [&[entries.len()], self.shape.get(1..).unwrap_or_default()].concat()
    }

    /// The memory from an element on as a tensor of its own. Whoever calls has compared its size with this one's, and uses it
    /// while this one is there. `ort` copies by a session of its own, whose binding it clears after each copy.
    fn at(&self, start: usize, shape: &[usize]) -> Result<Tensor<T>, Error> {
        // SAFETY: within the tensor, as whoever calls has compared.
        let data = unsafe { self.data.0.add(start) }.as_ptr();
        // SAFETY: the memory is this tensor's, and of that shape; nothing holds the alias once the caller is done.
        let alias = unsafe { memory::alias(self.value.memory_info(), data, shape, &Allocator::default()) }?;
        alias.downcast::<TensorValueType<T>>().map_err(Error::call("share a tensor's memory"))
    }
}

impl<T: Element> AnyTensor for DeviceTensor<T> {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn address(&self) -> usize {
        self.data.0.addr().get()
    }

    fn value(&self) -> SessionInputValue<'_> {
        SessionInputValue::from(&self.value)
    }
}
