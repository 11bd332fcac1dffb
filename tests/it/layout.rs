//! Which cores and threads a server takes. What is counted here is counted by Linux.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{self, TinyBackbone};

/// The command line of a measurement over a tiny backbone.
fn bench(program: &[&str], tiny: &TinyBackbone, more: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("bench");
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(tiny.folder.parent().unwrap());
    command.arg("--backbone").arg(tiny.folder.file_name().unwrap());
    command.args(more).env_remove("MIMI_THREADS");
    command
}

/// Names of a process's threads.
fn threads(id: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok().map(|name| name.trim().to_owned())
    };
    tasks.filter_map(name).collect()
}

#[test]
fn onnx_runtime_makes_no_thread_that_was_not_asked_for() {
    let tiny = TinyBackbone::new();
    for asked in [1, 3] {
        let more = ["--threads", &asked.to_string(), "--rounds", "1000000"];
        let mut command = bench(&[env!("CARGO_BIN_EXE_server")], &tiny, &more);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let mut names = threads(running.id());
        // The last thread to be started.
        while !names.iter().any(|name| name == "compiler") && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
            names = threads(running.id());
        }
        running.kill().unwrap();
        running.wait().unwrap();
        // Threads that set no name of their own have the program's: the first one, those of the pools, and one in which
        // the library keeps time.
        let unnamed = names.iter().filter(|name| *name == "server").count();
        assert_eq!(unnamed, asked + 1, "{names:?}");
    }
}

#[test]
fn all_cores_are_those_of_the_affinity_mask() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split([',', '-']).next().unwrap();
    let program = ["taskset", "-c", first, env!("CARGO_BIN_EXE_server")];
    let done = bench(&program, &TinyBackbone::new(), &["--rounds", "1"]).output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(printed.contains("1 thread(s)"), "{printed}{errors}");
}
