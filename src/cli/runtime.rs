//! Where and how programs run, as typed after every command that runs some.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{ArgAction, Args, ValueEnum};
use mimi_server::backbone::Precision;
use mimi_server::engine::workers;
use mimi_server::runtime::{Device, RuntimeOptions, WeightOptions};

/// Where the runtime and the backbone are; shared by all commands that run a network.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// The ONNX Runtime library; `make runtime` fetches it here.
    #[arg(
        long,
        env = "MIMI_ONNXRUNTIME",
        default_value = "vendor/onnxruntime/libonnxruntime.so.1.31.1",
        value_name = "FILE"
    )]
    pub onnxruntime: PathBuf,
    /// Where programs run: cpu, cuda or cuda:N. An absent device is an error; there is no fallback. `serve` and
    /// `predict` take several, e.g. cuda:0,cuda:1, which share one queue.
    #[arg(long, env = "MIMI_DEVICE", default_value = "cpu", value_delimiter = ',', num_args = 1, action = ArgAction::Set)]
    pub device: Vec<Device>,
    /// Threads inside one operator: the worker itself and others that all workers share. With 0, workers and
    /// shared threads together use every core that the process may use, by its affinity and its cgroup's CPU
    /// quota (rounded down).
    #[arg(long, env = "MIMI_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// Folder of backbones.
    #[arg(long, env = "MIMI_MODELS", default_value = "models", value_name = "DIR")]
    pub models: PathBuf,
    /// Name of the backbone's folder.
    #[arg(long, env = "MIMI_BACKBONE", default_value = "clip-vit-b16", value_name = "NAME")]
    pub backbone: String,
    /// Keep no second copy of the weights in the kernels' own layout. Takes less memory; 6 to 13 % slower at
    /// one row.
    #[arg(long, env = "MIMI_NO_PREPACK")]
    pub no_prepack: bool,
    /// Number format of the backbone's matrix products. Adapters and heads are always fp32. A pack trained at
    /// another precision is served with a warning.
    #[arg(long, env = "MIMI_PRECISION", value_enum, default_value_t = PrecisionArg::Fp32)]
    pub precision: PrecisionArg,
}

/// Precisions by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PrecisionArg {
    /// 32-bit floats.
    Fp32,
    /// 8-bit integers, on the CPU only. Fast on CPUs with VNNI. Packs trained at it are the most accurate.
    Int8,
    /// 8-bit integers in a reduced range, on the CPU only. For CPUs without VNNI; a little coarser.
    Int8Reduced,
    /// 32-bit floats whose factors are rounded to 10 bits of mantissa, on GPUs only. Between fp32 and fp16 in speed.
    Tf32,
    /// 16-bit floats, for GPUs. A CPU without instructions for them gains nothing.
    Fp16,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Fp32 => Self::Fp32,
            PrecisionArg::Int8 => Self::Int8,
            PrecisionArg::Int8Reduced => Self::Int8Reduced,
            PrecisionArg::Tf32 => Self::Tf32,
            PrecisionArg::Fp16 => Self::Fp16,
        }
    }
}

impl RuntimeArgs {
    /// Folder of the backbone.
    pub fn backbone_folder(&self) -> PathBuf {
        self.models.join(&self.backbone)
    }

    /// The device, of several the first.
    pub fn device(&self) -> Device {
        self.device.first().copied().unwrap_or_default()
    }

    /// The devices beside the first.
    pub fn other_devices(&self) -> &[Device] {
        self.device.get(1..).unwrap_or_default()
    }

    /// Checks that several devices are different GPUs: a CPU is one device, and shares no queue with a GPU.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_devices(&self) -> Result<()> {
        for (index, device) in self.device.iter().enumerate() {
            ensure!(!self.device[..index].contains(device), "--device names {device} twice");
        }
        let is_mixed = self.device.len() > 1 && self.device.contains(&Device::Cpu);
        ensure!(!is_mixed, "--device names cpu beside another device");
        Ok(())
    }

    /// The one device.
    ///
    /// # Errors
    /// When several were typed.
    pub fn one_device(&self) -> Result<Device> {
        ensure!(
            self.other_devices().is_empty(),
            "--device names {} devices: this command runs on one",
            self.device.len()
        );
        Ok(self.device())
    }

    /// How the backbone's weights are kept.
    pub fn weights(&self) -> WeightOptions {
        WeightOptions { prepack: !self.no_prepack, precision: self.precision.into(), bytes: None }
    }

    /// Settings of the runtime.
    pub fn options(&self) -> RuntimeOptions {
        self.options_for(1)
    }

    /// Settings of a runtime that trains.
    pub fn training(&self) -> RuntimeOptions {
        RuntimeOptions { spin: true, ..self.options() }
    }

    /// The same options as another process is to be given them, but for the threads.
    pub fn typed(&self) -> Vec<OsString> {
        let mut typed: Vec<OsString> = vec!["--device".into(), self.device().to_string().into()];
        typed.extend(["--onnxruntime".into(), self.onnxruntime.clone().into()]);
        typed.extend(["--models".into(), self.models.clone().into()]);
        typed.extend(["--backbone".into(), self.backbone.clone().into()]);
        typed.extend(["--precision".into(), Precision::from(self.precision).name().into()]);
        typed.extend(self.no_prepack.then(|| "--no-prepack".into()));
        typed
    }

    /// Settings of a runtime whose programs so many threads run at once.
    pub fn options_for(&self, workers: usize) -> RuntimeOptions {
        let threads = if self.threads == 0 { threads_beside(workers, cores()) } else { self.threads };
        // Spinning threads would take the cores that decode images.
        RuntimeOptions { library: self.onnxruntime.clone(), device: self.device(), threads, spin: false }
    }
}

/// Most rows of a batch: those that were typed, or with 0 what suits the device.
pub fn batch_rows(typed: usize, device: Device) -> usize {
    match (typed, device) {
        (0, Device::Cpu) => 4,
        (0, Device::Cuda(_)) => 32,
        (typed, _) => typed,
    }
}

/// Workers: those that were typed, or with 0 what suits the device.
pub fn worker_count(typed: usize, device: Device) -> usize {
    if typed == 0 { workers(device) } else { typed }
}

/// Cores this process may use: its affinity mask and its cgroup's quota (`cpu.max`, `cpu.cfs_quota_us`) are respected.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads inside one operator with which every core has something to do and none has two: each of the workers is one of
/// its operator's threads, the others are shared.
fn threads_beside(workers: usize, cores: usize) -> usize {
    cores.saturating_sub(workers.saturating_sub(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_and_shared_threads_are_as_many_as_cores() {
        for (workers, cores, threads) in
            [(1, 1, 1), (1, 8, 8), (2, 8, 7), (4, 8, 5), (8, 8, 1), (9, 8, 1), (0, 2, 2)]
        {
            assert_eq!(threads_beside(workers, cores), threads, "{workers} worker(s) on {cores} core(s)");
        }
    }
}
