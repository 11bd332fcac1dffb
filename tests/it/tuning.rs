//! A measuring process ends with the server that started it, however that ends. What is looked at is Linux's.
#![cfg(target_os = "linux")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{self, TinyBackbone};

const FOR_EVER: Duration = Duration::from_secs(60);

/// Waits until `found` gives something.
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < FOR_EVER, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(process: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal);
}

/// State and parent of a process.
fn state(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// A measuring child of `parent` that runs its threads, stopped so that it does not end by itself.
fn stopped_child(parent: u32) -> u32 {
    wait("a measuring process", || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let child = ids.find(|&id| state(id).is_some_and(|(_, of)| of == parent))?;
        let threads = std::fs::read_dir(format!("/proc/{child}/task")).ok()?.count();
        if threads < 2 {
            return None;
        }
        signal(child, Signal::STOP);
        // It may have ended before it was stopped; another number of workers is measured next.
        wait("its stop", || state(child).map_or(Some(false), |(s, _)| "TZX".contains(s).then_some(s == 'T')))
            .then_some(child)
    })
}

fn tuning(tiny: &TinyBackbone, adapters: &std::path::Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.args(["serve", "--port", "0", "--tune", "throughput"]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(tiny.folder.parent().unwrap());
    command.arg("--backbone").arg(tiny.folder.file_name().unwrap());
    command.arg("--adapters").arg(adapters).env_remove("MIMI_THREADS");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn f19_a_measurement_ends_with_the_server_that_asked_for_it() {
    let (tiny, adapters) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    for (by, code) in [(Signal::TERM, Some(0)), (Signal::INT, Some(0)), (Signal::KILL, None)] {
        let mut server = tuning(&tiny, adapters.path());
        let child = stopped_child(server.id());
        signal(server.id(), by);
        assert_eq!(server.wait().unwrap().code(), code, "{by:?}");
        wait("the measurement's end", || state(child).is_none_or(|(s, _)| s == 'Z').then_some(()));
    }
}
