//! Memory of the host's that runs are fed from.
//!
//! A GPU copies from ordinary memory by way of a buffer that its driver fills first. From pinned memory, whose pages stay where
//! they are, it copies by itself.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::memory::{AllocationDevice, Allocator, MemoryType};
use ort::session::Session;
use ort::value::Tensor;

use super::captures::Captures;
use super::element::Element;
use super::{Device, Error, memory};

/// Where lists that a device reads are made.
pub struct HostMemory {
    /// Pins memory, where the device is a GPU. It stays as long as what it made.
    pinned: Option<Mutex<Allocator>>,
    /// Whether it failed; all later lists lie in ordinary memory.
    has_failed: AtomicBool,
    device: Device,
    captures: Captures,
    /// What a GPU's allocator belongs to.
    _session: Option<Arc<Session>>,
}

/// Elements one after the other, in such memory.
pub struct HostList<T: Element> {
    /// Its first elements are the list's. None before the first one.
    tensor: Option<Tensor<T>>,
    capacity: usize,
    len: usize,
    memory: Arc<HostMemory>,
}

impl HostMemory {
    /// Memory that a device reads: pinned where it is a GPU, which a session reaches.
    pub(super) fn of(device: Device, session: Option<&Arc<Session>>, captures: Captures) -> Self {
        let pinned = match (device, session) {
            (Device::Cuda(number), Some(session)) => {
                let kind = (AllocationDevice::CUDA_PINNED, MemoryType::CPUOutput);
                let found = memory::session_allocator(session, number, kind);
                found.inspect_err(|error| tell(device, error)).ok()
            }
            _ => None,
        };
        let (pinned, has_failed) = (pinned.map(Mutex::new), AtomicBool::default());
        Self { pinned, has_failed, device, captures, _session: session.cloned() }
    }

    /// Room for so many elements.
    fn tensor<T: Element>(&self, capacity: usize) -> Result<Tensor<T>, Error> {
        let action = || format!("make room for {capacity} elements that {} reads", self.device);
        let _turn = self.captures.beside();
        if let Some(pinned) = self.pinned.as_ref().filter(|_| !self.has_failed.load(Ordering::Relaxed)) {
            let pinned = pinned.lock().unwrap_or_else(PoisonError::into_inner);
            match Tensor::<T>::new(&pinned, [capacity]).map_err(Error::call(action())) {
                Ok(made) => return Ok(made),
                Err(error) if !self.has_failed.swap(true, Ordering::Relaxed) => tell(self.device, &error),
                Err(_) => {}
            }
        }
        Tensor::<T>::new(&Allocator::default(), [capacity]).map_err(Error::call(action()))
    }
}

fn tell(device: Device, error: &Error) {
    tracing::warn!(%device, %error, "no memory can be pinned: images and batches lie in ordinary memory");
}

impl<T: Element> HostList<T> {
    /// No elements.
    pub fn new(memory: &Arc<HostMemory>) -> Self {
        Self { tensor: None, capacity: 0, len: 0, memory: Arc::clone(memory) }
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        match &self.tensor {
            // SAFETY: the memory is the tensor's, which the host can read; so many elements were written.
            Some(tensor) => unsafe { slice::from_raw_parts(tensor.data_ptr().cast::<T>(), self.len) },
            None => &[],
        }
    }

    /// The elements, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.tensor {
            // SAFETY: as in `as_slice`; nobody else has the list.
            Some(tensor) => unsafe { slice::from_raw_parts_mut(tensor.data_ptr_mut().cast::<T>(), self.len) },
            None => &mut [],
        }
    }

    /// Adds elements, those of one row after those of another, and tells which they are.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn extend(&mut self, rows: &[&[T]]) -> Result<Range<usize>, Error> {
        self.add(rows.iter().map(|row| row.len()).sum(), |free| {
            let mut free = free;
            for row in rows {
                let (own, rest) = free.split_at_mut(row.len());
                own.iter_mut().zip(*row).for_each(|(place, value)| {
                    place.write(*value);
                });
                free = rest;
            }
        })
    }

    /// Adds so many elements, all of them `value` but where `change` changes them, and tells which they are.
    ///
    /// # Errors
    /// As [`HostList::extend`].
    pub fn fill(
        &mut self,
        count: usize,
        value: T,
        change: impl FnOnce(&mut [T]),
    ) -> Result<Range<usize>, Error> {
        self.add(count, |free| {
            free.fill(MaybeUninit::new(value));
            // SAFETY: all of them were written just now.
            change(unsafe { slice::from_raw_parts_mut(free.as_mut_ptr().cast(), count) });
        })
    }

    /// Takes all elements away, and the memory where it has room for more than `most`.
    pub fn clear(&mut self, most: usize) {
        self.len = 0;
        // What is grown is doubled.
        if self.capacity / 2 > most {
            (self.tensor, self.capacity) = (None, 0);
        }
    }

    /// Adds so many elements, all of which `write` writes.
    fn add(
        &mut self,
        count: usize,
        write: impl FnOnce(&mut [MaybeUninit<T>]),
    ) -> Result<Range<usize>, Error> {
        let range = self.len..self.len + count;
        self.reserve(range.end)?;
        if let Some(tensor) = &mut self.tensor {
            // SAFETY: the memory is the tensor's, which has room for as many elements; nothing is claimed of what is there.
            let all = unsafe { slice::from_raw_parts_mut(tensor.data_ptr_mut().cast(), self.capacity) };
            write(&mut all[range.clone()]);
            self.len = range.end;
        }
        Ok(range)
    }

    /// Makes room for so many elements in all.
    fn reserve(&mut self, count: usize) -> Result<(), Error> {
        if count > self.capacity {
            let capacity = count.max(2 * self.capacity);
            let mut grown = Self::new(&self.memory);
            (grown.tensor, grown.capacity) = (Some(self.memory.tensor(capacity)?), capacity);
            grown.extend(&[self.as_slice()])?;
            *self = grown;
        }
        Ok(())
    }
}
