//! How small batches run on a GPU.

use anyhow::{Result, ensure};
use clap::Args;
use mimi_server::runtime::Device;

/// Options of small batches.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Most rows of a batch that a GPU replays as a CUDA graph, 1, 2, 4 …: one launch instead of one for each operator.
    /// Batches are filled up to as many rows, and have programs and scratch memory of their own. 0 replays none.
    #[arg(long, env = "MIMI_CUDA_GRAPHS", default_value_t = 0, value_name = "ROWS")]
    cuda_graphs: usize,
}

impl GraphArgs {
    /// Most rows of a batch that is replayed.
    ///
    /// # Errors
    /// As [`rows`].
    pub fn rows(&self, device: Device, bank_memory: u64) -> Result<usize> {
        rows(self.cuda_graphs, device, bank_memory)
    }
}

/// Most rows of a batch that is replayed, as they were typed.
///
/// # Errors
/// Where they are no power of two; on a CPU, and without a bank: what is replayed finds its packs on the GPU.
pub fn rows(rows: usize, device: Device, bank_memory: u64) -> Result<usize> {
    ensure!(rows == 0 || rows.is_power_of_two(), "--cuda-graphs {rows} must be a power of two");
    ensure!(rows == 0 || device.is_apart(), "--cuda-graphs {rows} needs a GPU, and --device is {device}");
    ensure!(
        rows == 0 || bank_memory > 0,
        "--cuda-graphs {rows} needs packs on the GPU, and --bank-memory is 0"
    );
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_refused_where_nothing_can_be_replayed() {
        let cuda = Device::Cuda(0);
        let told = |typed, device, bank| rows(typed, device, bank).map_err(|error| error.to_string());
        assert_eq!((told(0, Device::Cpu, 0), told(8, cuda, 1)), (Ok(0), Ok(8)));
        for (typed, device, bank, why) in [
            (12, cuda, 1, "--cuda-graphs 12 must be a power of two"),
            (8, Device::Cpu, 1, "--cuda-graphs 8 needs a GPU, and --device is cpu"),
            (8, cuda, 0, "--cuda-graphs 8 needs packs on the GPU, and --bank-memory is 0"),
        ] {
            assert_eq!(told(typed, device, bank), Err(why.into()));
        }
    }
}
