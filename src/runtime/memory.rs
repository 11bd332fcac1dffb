//! What about memory needs `unsafe`: a mapped file, giving its pages back, tensors over memory that is not ONNX Runtime's, and
//! the arenas all programs share.

use std::fs::File;
use std::path::Path;
use std::ptr::{self, NonNull};

use memmap2::{Mmap, UncheckedAdvice};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::DynValue;

use super::Error;
use super::element::Element;

/// Maps a file for reading.
///
/// The weights of a backbone are written beside and renamed, never changed in place, so the mapping's content
/// is stable as long as nobody edits the file by hand.
pub(super) fn map(path: &Path) -> Result<Mmap, std::io::Error> {
    let file = File::open(path)?;
    // SAFETY: the file is opened for reading and by our own rules never modified once it has its name.
    unsafe { Mmap::map(&file) }
}

/// Gives the pages of a mapped file back to the system. A later read finds them in the page cache or the
/// file.
pub(super) fn give_back(map: &Mmap) {
    // SAFETY: the map is shared and read-only, so a page that is read again has the file's content, which never
    // changes (see `map`).
    if let Err(error) = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) } {
        tracing::debug!(%error, "the weights' pages stay");
    }
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

/// A session's allocator of a GPU's memory, or of the host's pinned for it.
pub(super) fn session_allocator(
    session: &Session,
    number: i32,
    (device, kind): (AllocationDevice<'_>, MemoryType),
) -> Result<Allocator, Error> {
    let failed = || Error::call("reach a GPU's memory");
    let info = MemoryInfo::new(device, number, AllocatorType::Device, kind).map_err(failed())?;
    Allocator::new(session, info).map_err(failed())
}

/// Description of ordinary memory.
pub(super) fn cpu_memory() -> Result<MemoryInfo<'static>, Error> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
        .map_err(Error::call("describe CPU memory"))
}

/// Gives the environment one arena for scratch memory on a GPU, as [`register_cpu_arena`] does on the CPU. It is aware of
/// streams: memory that one program gave back goes to another's stream only after the first has come so far.
pub(super) fn register_cuda_arena(environment: &Environment, number: i32) -> Result<(), Error> {
    let failed = || Error::call("register the GPU's shared arena");
    let info = MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Arena, MemoryType::Default)
        .map_err(Error::call("describe the GPU's arena"))?;
    let mut configuration = ptr::null_mut();
    // SAFETY: without keys nothing is read of the two lists; the pointer made is released below.
    let status = unsafe { (ort::api().CreateArenaCfgV2)(ptr::null(), ptr::null(), 0, &mut configuration) };
    // SAFETY: `status` comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(failed())?;
    // SAFETY: all pointers are valid for the call; without keys nothing is read of the two lists.
    let status = unsafe {
        (ort::api().CreateAndRegisterAllocatorV2)(
            environment.ptr().cast_mut(),
            c"CUDAExecutionProvider".as_ptr(),
            info.ptr(),
            configuration,
            ptr::null(),
            ptr::null(),
            0,
        )
    };
    // SAFETY: made above, and read by nobody any more.
    unsafe { (ort::api().ReleaseArenaCfg)(configuration) };
    // SAFETY: `status` comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(failed())
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
