//! What of the weights stays in memory.

use std::path::Path;
use std::sync::Arc;

use mimi_server::graph::{Plan, build};
use mimi_server::runtime::{Program, WeightOptions, WeightStore};

use crate::support::{TinyBackbone, runtime};

/// Bytes of a mapped file that are in this process's memory (Linux).
fn resident(path: &Path) -> usize {
    let (path, text) = (path.to_str().unwrap(), std::fs::read_to_string("/proc/self/smaps").unwrap());
    let maps = text.split_inclusive("VmFlags").filter(|map| map.contains(path));
    let kib = |map: &str| -> usize {
        let line = map.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    maps.map(kib).sum::<usize>() << 10
}

/// Resident bytes of the weights' file before and after a program is compiled.
fn compiled(prepack: bool) -> (usize, usize) {
    let tiny = TinyBackbone::new();
    let file = tiny.folder.canonicalize().unwrap().join("backbone.safetensors");
    let options = WeightOptions { prepack, ..WeightOptions::default() };
    let store = Arc::new(WeightStore::open(&runtime(), &tiny.config, &tiny.folder, options).unwrap());
    let before = resident(&file);
    let plan = Plan::whole(&tiny.config, tiny.config.adapters());
    let _program = Program::compile(&runtime(), &store, &build(&tiny.config, &plan).unwrap()).unwrap();
    (before, resident(&file))
}

#[test]
fn the_mapped_weights_leave_memory_once_they_are_packed() {
    let (before, after) = compiled(true);
    assert!(before > 100_000, "{before}");
    assert_eq!(after, 0);
}

#[test]
fn mapped_weights_stay_where_programs_read_them() {
    let (_, after) = compiled(false);
    assert!(after > 100_000, "{after}");
}
