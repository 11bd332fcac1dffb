//! What `bench` prints as lines of JSON, which `load-tests/gpu` reads.

use std::process::Command;

use mimi_server::runtime::Device;
use serde_json::Value;

use crate::support::{self, TinyBackbone};

/// `server bench` over the tiny backbone, on the CPU unless told otherwise.
fn command(tiny: &TinyBackbone, more: &[&str]) -> Command {
    let mut command = Command::new(support::server());
    command.args(["bench", "--device", "cpu", "--rounds", "1"]).args(more);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(tiny.folder.parent().unwrap());
    command.arg("--backbone").arg(tiny.folder.file_name().unwrap());
    command
}

/// What it prints.
fn bench(more: &[&str]) -> Vec<Value> {
    let tiny = TinyBackbone::new();
    let done = command(&tiny, more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = String::from_utf8(done.stdout).unwrap();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(lines: &[Value], keys: [&str; 3]) -> Vec<[u64; 3]> {
    lines.iter().map(|line| keys.map(|key| line[key].as_u64().unwrap())).collect()
}

#[test]
fn a_sweep_times_every_size_that_holds_its_packs() {
    let lines = bench(&["--sweep", "--rows", "1,4,3", "--packs", "1,3", "--from-block", "1"]);
    // Three blocks, the first of which has lost its two adapters.
    let expected = [[1, 1, 4], [4, 1, 4], [4, 3, 4], [3, 1, 4], [3, 3, 4]];
    assert_eq!(numbers(&lines, ["rows", "packs", "adapters"]), expected);
    for line in &lines {
        let [bare, engine, slowest, rate] =
            ["bare_seconds", "engine_seconds", "slowest_seconds", "rows_per_second"]
                .map(|key| line[key].as_f64().unwrap());
        assert!(bare > 0.0 && engine > 0.0 && slowest >= engine && rate > 0.0, "{line}");
    }
}

#[test]
fn parity_of_the_cpu_with_itself_is_exact_and_of_fp16_is_not() {
    let size = ["--parity", "--rows", "3", "--packs", "1,3"];
    for (precision, exact) in [("fp32", true), ("fp16", false)] {
        let lines = bench(&[&size[..], &["--precision", precision]].concat());
        assert_eq!(numbers(&lines, ["rows", "packs", "adapters"]), [[3, 1, 6], [3, 3, 6]]);
        for line in lines {
            let largest = line["largest"].as_f64().unwrap();
            assert!(if exact { largest == 0.0 } else { largest > 0.0 && largest < 1e-2 }, "{line}");
            assert!(line["cosine"].as_f64().unwrap() > 0.999, "{line}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_told_before_the_weights_with_them_and_with_programs() {
    let lines = bench(&["--programs", "3,1"]);
    let told: Vec<_> =
        lines.iter().map(|line| (line["loaded"].as_str(), line["programs"].as_u64())).collect();
    let expected = [("nothing", 0), ("weights", 0), ("programs", 1), ("programs", 3)];
    assert_eq!(told, expected.map(|(what, count)| (Some(what), Some(count))));
    assert!(lines.iter().all(|line| line["bytes"].as_u64().unwrap() > 1 << 20), "{lines:?}");
}

#[test]
#[cfg(unix)]
fn a_gpus_memory_is_what_nvidia_smi_says_of_it() {
    use std::os::unix::fs::PermissionsExt;
    if support::device() != Device::Cpu {
        eprintln!("*** SKIPPED: it is about a machine without a GPU");
        return;
    }
    let (tiny, folder) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let program = folder.path().join("nvidia-smi");
    let ask = |says: &str| {
        std::fs::write(&program, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = command(&tiny, &["--programs", "1", "--device", "cuda:3"]);
        let done = command.env("PATH", folder.path()).output().unwrap();
        assert!(!done.status.success(), "there is no GPU");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&done.stdout), text(&done.stderr))
    };
    // What comes before the weights is told; then there is no GPU.
    let (printed, errors) = ask("[ \"$3 $4\" = '--id 3' ] || exit 9\necho 1234");
    assert_eq!(printed, format!("{{\"loaded\":\"nothing\",\"programs\":0,\"bytes\":{}}}\n", 1234u64 << 20));
    assert!(errors.contains("cuda:3"), "{errors}");
    for (says, word) in [("echo No devices were found\nexit 6", "No devices were found"), ("echo N/A", "N/A")]
    {
        let (printed, errors) = ask(says);
        assert!(printed.is_empty() && errors.contains(word), "{printed}{errors}");
    }
}

#[test]
fn tasks_on_one_image_are_told_as_lines() {
    let lines = bench(&["--fork", "--json", "--state", "device"]);
    assert!(lines.iter().all(|line| line["state"] == "device"), "{lines:?}");
    let tasks: Vec<_> = lines.iter().filter_map(|line| line["tasks"].as_u64()).collect();
    assert_eq!((tasks, lines.len()), (vec![1, 2, 4, 8, 16], 6));
    assert!(lines[5]["known_seconds"].as_f64().unwrap() > 0.0);
}
