//! How the engine is laid out.

use std::time::Duration;

use crate::runtime::Device;

/// How the engine is laid out.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Most rows in one batch.
    pub max_batch: usize,
    /// Longest a row waits for others that are on their way.
    pub max_wait: Duration,
    /// Most rows in flight: being decoded, waiting or running.
    pub queue_limit: usize,
    /// Threads of each device that run batches, each with its own programs.
    pub workers: usize,
    /// Programs kept besides the one with every site.
    pub max_programs: usize,
    /// Bytes on the host for outputs of frozen blocks, reused when another task sees the same image; 0 keeps nothing.
    pub prefix_memory: u64,
    /// Bytes on each device for packs' tensors, see [`bank_bytes`]; 0 sends them with every batch.
    pub bank_memory: u64,
    /// Bytes on each device for outputs of frozen blocks that are kept there, besides those of batches that run; none has
    /// all of them go by the host.
    pub states_memory: Option<u64>,
    /// Most rows of a batch that a GPU replays as a CUDA graph, where the bank has its packs; 0 replays none.
    pub replayed_rows: usize,
}

impl Default for EngineOptions {
    /// One row at a time on the host, of which nothing is kept.
    fn default() -> Self {
        Self {
            max_batch: 1,
            max_wait: Duration::ZERO,
            queue_limit: 1,
            workers: 1,
            max_programs: 1,
            prefix_memory: 0,
            bank_memory: 0,
            states_memory: None,
            replayed_rows: 0,
        }
    }
}

/// Threads that run batches where nobody says: on a GPU one lays out a batch while another's runs.
pub fn workers(device: Device) -> usize {
    match device {
        Device::Cpu => 1,
        Device::Cuda(_) => 2,
    }
}

/// What outputs of frozen blocks are given on a device where nobody says: as much as on the host, where the device is far
/// from it.
pub fn states_bytes(device: Device, prefix_memory: u64) -> Option<u64> {
    device.is_apart().then_some(prefix_memory)
}

/// What a bank is given where nobody says: room for some hundreds of packs on a GPU, whose memory is far from the host's. A
/// CPU reads a pack's tensors where they are.
pub fn bank_bytes(device: Device) -> u64 {
    match device {
        Device::Cpu => 0,
        Device::Cuda(_) => 2 << 30,
    }
}
