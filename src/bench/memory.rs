//! Memory of programs and packs.

use std::process::Command;
use std::slice;

use anyhow::{Context, Result, ensure};

use super::Bench;
use crate::graph::Plan;
use crate::runtime::Device;

impl Bench {
    /// Memory in use with these numbers of programs, in rising order, after each has run one row: see
    /// [`memory_used`].
    ///
    /// # Errors
    /// When a program cannot be compiled or run, or the system does not say.
    pub fn memory(&self, counts: &[usize]) -> Result<Vec<u64>> {
        let (pack, sites) = (self.pack(0)?, self.config().sites());
        let (mut programs, mut used) = (Vec::new(), Vec::new());
        for &count in counts {
            ensure!(count <= sites.len(), "{count} programs, but only {} sites to leave out", sites.len());
            for i in programs.len()..count {
                // Each program leaves out other sites, as packs of different tasks do.
                let plan = Plan::whole(self.config(), sites[i..].iter().copied().collect());
                let mut program = self.program(&plan)?;
                self.feed(slice::from_ref(&pack), 1, plan.modules).run(&mut program)?;
                programs.push(program);
            }
            used.push(memory_used(self.resident.device())?);
        }
        Ok(used)
    }

    /// Bytes that `count` packs take by their own count, and by the process's growth.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn pack_memory(&self, count: usize) -> Result<(u64, u64)> {
        let before = pss()?;
        let packs = (0..count).map(|i| self.pack(i as u64)).collect::<Result<Vec<_>>>()?;
        let counted = packs.iter().map(|pack| pack.bytes() as u64).sum();
        Ok((counted, pss()?.saturating_sub(before)))
    }
}

/// Bytes in use where programs run: on the CPU this process's proportional set size (Linux); on a GPU all that is used of
/// its memory, by whomever, as `nvidia-smi` tells. `nvidia-smi` numbers GPUs by their slots, CUDA does so only under
/// `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
///
/// # Errors
/// When the system does not tell.
pub fn memory_used(device: Device) -> Result<u64> {
    match device {
        Device::Cpu => pss(),
        Device::Cuda(number) => {
            let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id"];
            let mut command = Command::new("nvidia-smi");
            let done = command.args(query).arg(number.to_string()).output().context("nvidia-smi")?;
            let (said, errors) =
                (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            ensure!(done.status.success(), "nvidia-smi: {}: {said}{errors}", done.status);
            let mib: u64 = said.trim().parse().with_context(|| format!("nvidia-smi said {said:?}"))?;
            Ok(mib << 20)
        }
    }
}

/// Proportional set size of this process, bytes (Linux).
fn pss() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").context("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
