//! Which cores, threads and heaps a server takes. What is counted here is counted by Linux.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{self, TinyBackbone};

/// The command line of a measurement over a tiny backbone.
fn bench(program: &[&str], tiny: &TinyBackbone, more: &[&str]) -> Command {
    command(&[program, &["bench"]].concat(), tiny, more)
}

/// A command line over a tiny backbone.
fn command(program: &[&str], tiny: &TinyBackbone, more: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
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

/// How many of the threads set no name of their own, and so have the program's: the first one and those of the pool.
fn unnamed(names: &[String]) -> usize {
    names.iter().filter(|name| *name == "server").count()
}

#[test]
fn onnx_runtime_makes_no_thread_and_no_file_that_was_not_asked_for() {
    let (tiny, home) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    for asked in [1, 3] {
        let more = ["--threads", &asked.to_string(), "--rounds", "1000000"];
        let mut command = bench(&[env!("CARGO_BIN_EXE_server")], &tiny, &more);
        // What keeps its telemetry off by accident: where it knows that it is tested, or was told by someone else.
        command.env_remove("CI").env_remove("GITHUB_ACTIONS").env_remove("ORT_DISABLE_TELEMETRY");
        command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME");
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let mut names = threads(running.id());
        // The threads begin one after another; the compiler's is the last to be asked for.
        let complete =
            |names: &[String]| names.iter().any(|name| name == "compiler") && unnamed(names) >= asked;
        while !complete(&names) && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
            names = threads(running.id());
        }
        // Nor does one come late.
        std::thread::sleep(Duration::from_millis(200));
        names = threads(running.id());
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(unnamed(&names), asked, "{names:?}");
    }
    let made: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(made.is_empty(), "{made:?}");
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

#[test]
fn workers_are_measured_at_once_over_growing_batches() {
    let more = ["--workers", "2", "--rounds", "2"];
    let done = bench(&[env!("CARGO_BIN_EXE_server")], &TinyBackbone::new(), &more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let layouts: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(layouts.len() >= 2, "{printed}");
    for (index, layout) in layouts.iter().enumerate() {
        assert_eq!(layout["workers"], 2);
        assert_eq!(layout["batch"], 1 << index);
        assert!(layout["rows_per_second"].as_f64().unwrap() > 0.0, "{layout}");
    }
}

/// Starts a server without tasks and gives its log and what `look` finds once it is ready.
fn served<T>(more: &[&str], look: impl FnOnce(u32) -> T) -> (Vec<String>, T) {
    let (tiny, adapters) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let mut command = command(&[env!("CARGO_BIN_EXE_server"), "serve", "--port", "0"], &tiny, more);
    command.arg("--adapters").arg(adapters.path());
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(running.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut log = Vec::new();
    for line in lines {
        log.push(line);
        if log.last().is_some_and(|line| line.contains(" ready")) {
            break;
        }
    }
    let found = look(running.id());
    running.kill().unwrap();
    running.wait().unwrap();
    (log, found)
}

/// Heaps that glibc made beside the first: 64 MiB at a multiple of that, the unused end of it closed.
#[cfg(target_env = "gnu")]
fn heaps(id: u32) -> usize {
    const SIZE: usize = 64 << 20;
    let text = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let map = |line: &str| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        (address(start), address(end), rest.starts_with("---p"))
    };
    let maps: Vec<_> = text.lines().map(map).collect();
    let heap = |pair: &&[(usize, usize, bool)]| {
        pair[0].0.is_multiple_of(SIZE) && pair[1].2 && pair[1].1 == pair[0].0 + SIZE
    };
    maps.windows(2).filter(heap).count()
}

#[test]
#[cfg(target_env = "gnu")]
fn the_threads_of_a_server_share_one_heap() {
    let (log, found) = served(&[], heaps);
    assert!(log.iter().any(|line| line.contains(" ready")), "{log:#?}");
    assert_eq!(found, 0, "{log:#?}");
    let (log, found) = served(&["--heaps", "0"], heaps);
    assert!(found > 0, "glibc is left alone and makes no heap: {log:#?}");
}

#[test]
fn a_server_tunes_itself_before_it_serves() {
    let (log, ()) = served(&["--tune", "throughput"], |_| ());
    let has = |word: &str| log.iter().filter(|line| line.contains(word)).count();
    assert!(has("measured") >= 2, "{log:#?}");
    assert_eq!((has("chosen"), has(" ready")), (1, 1), "{log:#?}");
}

#[test]
fn what_is_typed_contradicts_tuning() {
    let tiny = TinyBackbone::new();
    for (flag, variable) in
        [("--workers", "MIMI_WORKERS"), ("--threads", "MIMI_THREADS"), ("--max-batch", "MIMI_MAX_BATCH")]
    {
        let serve = [env!("CARGO_BIN_EXE_server"), "serve"];
        let typed = command(&serve, &tiny, &["--tune", "latency", flag, "2"]).output().unwrap();
        let set = command(&serve, &tiny, &["--tune", "latency"]).env(variable, "2").output().unwrap();
        for done in [typed, set] {
            let errors = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(!done.status.success(), "{flag}");
            assert!(errors.contains("--tune") && errors.contains(flag), "{errors}");
        }
    }
}
