//! Settings of the whole process, made before it has other threads.

/// cuBLAS's own name for what each of its handles takes at once: SIZE in KiB, and how many.
pub const CUBLAS_WORKSPACES: &str = "CUBLAS_WORKSPACE_CONFIG";

/// Keeps ONNX Runtime from reporting to its makers; call it before other threads start.
///
/// Its Linux builds look for `ORT_DISABLE_TELEMETRY` when they are loaded. Without it they keep a database in the user's
/// cache folder and a thread that sends from it, which the API's own switch (`DisableTelemetryEvents`) does not end.
///
/// In a process of several threads it does nothing but say so: another might read the environment meanwhile.
pub fn disable_telemetry() {
    set(("ORT_DISABLE_TELEMETRY", "1"), "ONNX Runtime's telemetry stays as it is");
}

/// Has cuBLAS take 128 KiB for each program, by [`CUBLAS_WORKSPACES`]; call it before other threads start.
///
/// Left alone, every program's handle takes tens of MiB on a Hopper GPU: twelve programs of ViT-B took 3.0 GiB of its memory
/// instead of 1.3 GiB, and were no faster.
///
/// In a process of several threads it does as [`disable_telemetry`] does.
pub fn small_workspaces() {
    set((CUBLAS_WORKSPACES, ":16:8"), "cuBLAS takes as much memory for each program as it likes");
}

/// Sets a variable of the environment while there is one thread; else warns of what that leaves.
fn set((name, value): (&str, &str), otherwise: &str) {
    #[cfg(target_os = "linux")]
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1) {
        // SAFETY: nobody else reads the environment, as this thread is the only one.
        unsafe { std::env::set_var(name, value) };
        return;
    }
    tracing::warn!(name, "{otherwise}: other threads run already");
}

/// Has all threads allocate from this many heaps; 0 leaves it to glibc. Call it before other threads start,
/// since one
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
/// the other setting is made), each picture's buffers are faulted in again, which takes a millisecond a request.
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
                tracing::warn!(name, value, "mallopt refused a setting: glibc keeps memory by its own rules");
            }
        }
    }
}
