//! How small batches run on a GPU.

use anyhow::{Result, ensure};
use clap::Args;
use mimi_server::runtime::Device;

/// Options of small batches.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Most rows of a batch that a GPU replays as a CUDA graph: one launch instead of one for each operator. Batches are
    /// filled up to 1, 2, 4 … rows, and have programs and scratch memory of their own. 0 replays none.
    #[arg(long, env = "MIMI_CUDA_GRAPHS", default_value_t = 0, value_name = "ROWS")]
    cuda_graphs: usize,
}

impl GraphArgs {
    /// Most rows of a batch that is replayed.
    ///
    /// # Errors
    /// On a CPU, and without a bank: what is replayed finds its packs on the GPU.
    pub fn rows(&self, device: Device, bank_memory: u64) -> Result<usize> {
        let Self { cuda_graphs: rows } = *self;
        ensure!(rows == 0 || device.is_apart(), "--cuda-graphs {rows} needs a GPU, and --device is {device}");
        ensure!(
            rows == 0 || bank_memory > 0,
            "--cuda-graphs {rows} needs packs on the GPU, and --bank-memory is 0"
        );
        Ok(rows)
    }
}
