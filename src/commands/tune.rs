//! `serve --tune`: what this machine serves best with, measured before it serves.
//!
//! ONNX Runtime takes its threads once a process, so each number of workers is measured by a process of its own (`bench
//! --workers`), one after the other: what it took goes back when it ends, and all of them map the weights' one file. That
//! process ends with this one, however this one ends.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use mimi_server::bench::{Goal, Layout, choose};
use mimi_server::runtime::Device;
use tokio::process::Command;

use crate::cli::{RuntimeArgs, cores};

/// Batches of each size that each worker runs.
const ROUNDS: &str = "3";

/// Measures layouts, logs them and gives the best. Dropped, it ends the measurement that runs.
///
/// To be polled by the process's first thread: the system ends a measuring process with the thread that started it.
pub async fn tune(args: &RuntimeArgs, goal: Goal) -> Result<Layout> {
    let mut measured = Vec::new();
    for workers in candidates(args.device(), cores()) {
        let found = measure(args, workers).await.with_context(|| format!("measure {workers} worker(s)"))?;
        measured.extend(found);
    }
    let chosen = choose(&measured, goal).context("nothing was measured")?;
    for layout in &measured {
        let Layout { workers, threads, batch, rows_per_second, batch_seconds } = layout;
        let (rows_per_second, batch_ms) =
            (format!("{rows_per_second:.2}"), format!("{:.1}", batch_seconds * 1e3));
        tracing::info!(workers, threads, max_batch = batch, rows_per_second, batch_ms, "measured");
    }
    let Layout { workers, threads, batch, .. } = chosen;
    tracing::info!(?goal, workers, threads, max_batch = batch, "chosen");
    Ok(chosen)
}

/// Numbers of workers worth measuring: from one with every core to one a core, doubling. On a GPU a
/// second one lays out a batch while the first one's runs.
fn candidates(device: Device, cores: usize) -> Vec<usize> {
    match device {
        Device::Cpu => {
            let powers = std::iter::successors(Some(1), |workers| Some(workers * 2));
            powers.take_while(|&workers| workers < cores).chain([cores]).collect()
        }
        Device::Cuda(_) => vec![1, 2],
    }
}

async fn measure(args: &RuntimeArgs, workers: usize) -> Result<Vec<Layout>> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg("bench").args(["--workers", &workers.to_string(), "--rounds", ROUNDS]);
    command.args(["--parent", &std::process::id().to_string()]).args(args.typed());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let done = command.spawn()?.wait_with_output().await?;
    ensure!(done.status.success(), "the measurement failed: {}", done.status);
    let lines = std::str::from_utf8(&done.stdout)?.lines();
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_double_up_to_the_cores() {
        for (cores, expected) in [(1, &[1][..]), (2, &[1, 2]), (6, &[1, 2, 4, 6]), (8, &[1, 2, 4, 8])] {
            assert_eq!(candidates(Device::Cpu, cores), expected);
        }
        assert_eq!(candidates(Device::Cuda(0), 8), [1, 2]);
    }
}
