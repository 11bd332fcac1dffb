//! What `bench` prints as lines of JSON, which `load-tests/gpu` reads.

use std::process::Command;

use serde_json::Value;

use crate::support::{self, TinyBackbone};

/// What `server bench` prints over the tiny backbone, on the CPU.
fn bench(more: &[&str]) -> Vec<Value> {
    let tiny = TinyBackbone::new();
    let mut command = Command::new(support::server());
    command.args(["bench", "--device", "cpu", "--rounds", "1"]).args(more);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(tiny.folder.parent().unwrap());
    let done = command.arg("--backbone").arg(tiny.folder.file_name().unwrap()).output().unwrap();
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
fn tasks_on_one_image_are_told_as_lines() {
    let lines = bench(&["--fork", "--json"]);
    let tasks: Vec<_> = lines.iter().filter_map(|line| line["tasks"].as_u64()).collect();
    assert_eq!((tasks, lines.len()), (vec![1, 2, 4, 8, 16], 6));
    assert!(lines[5]["known_seconds"].as_f64().unwrap() > 0.0);
}
