//! What `bench` is asked to print as lines of JSON, for `load-tests/gpu` to compare and to keep.

use clap::Args;

/// Measurements that print a line of JSON each.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lines of JSON")]
pub struct LinesArgs {
    /// Time batches of every size of --rows under every number of --packs, through the engine and bare.
    #[arg(long, conflicts_with_all = ["parity", "programs", "train", "fork", "memory", "workers", "precisions"])]
    pub sweep: bool,
    /// Compare features with the CPU's in fp32, for every size of --rows under every number of --packs.
    #[arg(long, conflicts_with_all = ["programs", "train", "fork", "memory", "workers", "precisions"])]
    pub parity: bool,
    /// Print the memory in use before anything is loaded, with the weights, and with these numbers of
    /// programs.
    #[arg(long, value_delimiter = ',', value_name = "COUNTS", conflicts_with_all = ["train", "fork", "memory", "workers", "precisions"])]
    pub programs: Vec<usize>,
    /// Rows in a batch.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64])]
    pub rows: Vec<usize>,
    /// Distinct packs in a batch. Batches with fewer rows are skipped.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    pub packs: Vec<usize>,
    /// First block with adapters; those before are removed.
    #[arg(long, default_value_t = 0, value_name = "BLOCK")]
    pub from_block: usize,
    /// Print what --fork measures as lines of JSON.
    #[arg(long, requires = "fork")]
    pub json: bool,
}

impl LinesArgs {
    /// Whether one of the measurements was asked for that print nothing else.
    pub fn asked(&self) -> bool {
        self.sweep || self.parity || !self.programs.is_empty()
    }
}
