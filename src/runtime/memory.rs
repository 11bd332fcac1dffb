//! The five things that need `unsafe`: a mapped file, giving its pages back, tensors over memory that is not
//! ONNX Runtime's, the arena all programs share, and the heap all threads share.

use std::fs::File;
use std::path::Path;
use std::ptr::{self, NonNull};

use half::f16;
use memmap2::{Mmap, UncheckedAdvice};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::ONNXTensorElementDataType;
use ort::value::DynValue;

use super::Error;

/// Maps a file for reading.
///
/// The weights of a backbone are written beside and renamed, never changed in place, so the mapping's content
/// is stable as long as nobody edits the file by hand.
pub(super) fn map(path: &Path) -> Result<Mmap, std::io::Error> {
    let file = File::open(path)?;
    // SAFETY: the file is opened for reading and by our own rules never modified once it has its name.
    unsafe { Mmap::map(&file) }
}

/// Gives the pages of a mapped file back to the system; whoever reads one again finds it in the page cache or the file.
pub(super) fn give_back(map: &Mmap) {
    // SAFETY: the map is shared and read-only, so a page that is read again has the file's content, which never
    // changes (see `map`).
    if let Err(error) = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) } {
        tracing::debug!(%error, "the weights' pages stay");
    }
}

/// Has all threads allocate from so many heaps, or as glibc likes if 0; call it before other threads start, since one
/// that has a heap keeps it.
///
/// Left alone, glibc gives each thread a heap of its own, up to eight for each core. Packs are read by whichever thread
/// of a pool is free and stay for long, so each heap grows to what any thread may have read, and what one heap has
/// free no other thread can use: packs that come and go cost some 7 MiB more with every thread that joins in. Threads
/// still free and allocate small pieces without a lock (glibc keeps up to seven of each size for every thread).
///
/// Pieces from 1 MiB on are then given back to the system as soon as they are free. Left alone, glibc keeps ever larger
/// ones in its heaps once it has seen them freed, and what making programs takes for a moment stays: 490 to 530 MiB with
/// 8 programs of ViT-B instead of 418. Some free memory at a heap's end is kept: given back at once (glibc's default once
/// the other setting is made), each picture's buffers are faulted in anew, which takes a millisecond a request.
///
/// Other C libraries are left as they are.
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), allow(unused_variables))]
pub fn share_heaps(heaps: u8) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if heaps > 0 {
        let settings = [
            (libc::M_ARENA_MAX, heaps.into()),
            (libc::M_MMAP_THRESHOLD, 1 << 20),
            (libc::M_TRIM_THRESHOLD, 8 << 20),
        ];
        for (name, value) in settings {
            // SAFETY: the call sets a number of the allocator's own; no pointer is involved, and its one hazard, another
            // thread's allocating for the first time meanwhile, gives that thread a heap of its own at worst.
            let accepted = unsafe { libc::mallopt(name, value) };
            if accepted == 0 {
                tracing::warn!(name, value, "memory is kept as glibc likes: mallopt refused a setting");
            }
        }
    }
}

/// Element types of tensors that are read where they lie.
pub(super) trait Element {
    /// What ONNX Runtime calls the type.
    const TYPE: ONNXTensorElementDataType;
}

impl Element for f32 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Element for f16 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
}

impl Element for i8 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
}

/// Makes a tensor that reads values where they lie.
///
/// # Safety
/// `data` must point to as many values as `shape` has elements, aligned as their type is, in the memory that `info`
/// describes, and must stay valid and unchanged as long as the tensor or a session using it lives.
pub(super) unsafe fn alias<T: Element>(
    info: &MemoryInfo<'_>,
    data: *const T,
    shape: &[usize],
    allocator: &Allocator,
) -> Result<DynValue, Error> {
    let dims: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    let bytes = shape.iter().product::<usize>() * size_of::<T>();
    let mut value = ptr::null_mut();
    // SAFETY: the caller vouches for `data`; the other pointers outlive the call; ONNX Runtime copies `dims`.
    let status = unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            info.ptr(),
            data.cast_mut().cast(),
            bytes,
            dims.as_ptr(),
            dims.len(),
            T::TYPE,
            &mut value,
        )
    };
    // SAFETY: `status` comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(Error::call("share a weight"))?;
    let value = NonNull::new(value).ok_or_else(|| Error::Call {
        action: "share a weight".into(),
        reason: "no tensor was made".into(),
    })?;
    // SAFETY: the pointer was made above and is owned by nobody else.
    Ok(unsafe { DynValue::from_ptr(value, Some(allocator)) })
}

/// Description of ordinary memory.
pub(super) fn cpu_memory() -> Result<MemoryInfo<'static>, Error> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
        .map_err(Error::call("describe CPU memory"))
}

/// Gives the environment one arena for scratch memory, which every program then uses; otherwise each program
/// would keep its own at the size of its largest batch.
pub(super) fn register_cpu_arena(environment: &Environment) -> Result<(), Error> {
    let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default)
        .map_err(Error::call("describe the arena"))?;
    // SAFETY: both pointers are valid for the call; a null configuration asks for the defaults.
    let status = unsafe {
        (ort::api().CreateAndRegisterAllocator)(environment.ptr().cast_mut(), info.ptr(), ptr::null())
    };
    // SAFETY: `status` comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(Error::call("register the shared arena"))
}
