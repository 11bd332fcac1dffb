//! What the engine does around a run: ordering rows, and laying out a batch's inputs. No ONNX Runtime.
//!
//! These files are the engine's own, compiled here once more, so that they stay private to it.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to report")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use mimi_server::backbone::BackboneConfig;
use mimi_server::engine::Share;
use mimi_server::graph::Plan;
use mimi_server::pack::{Pack, TaskId};

#[allow(dead_code, unused_imports, reason = "the engine and its tests use all of it")]
#[path = "../src/engine/batch.rs"]
mod batch;
#[allow(dead_code, unused_imports, reason = "the engine and its tests use all of it")]
#[path = "../src/engine/padding.rs"]
mod padding;
#[allow(dead_code, unused_imports, reason = "the engine and its tests use all of it")]
#[path = "../src/engine/pixels.rs"]
mod pixels;
#[allow(dead_code, unused_imports, reason = "the engine and its tests use all of it")]
#[path = "../src/engine/queue.rs"]
mod queue;
#[allow(dead_code, unused_imports, reason = "the engine and its tests use all of it")]
#[path = "../src/engine/turns.rs"]
mod turns;

/// What a batch reads of a bank, which needs ONNX Runtime: nothing here.
mod bank {
    /// Nothing.
    pub struct Banked;

    impl Banked {
        /// No inputs.
        pub fn inputs(&self) -> Vec<mimi_server::runtime::HeldInput<'_>> {
            Vec::new()
        }
    }
}

/// Memory that a device reads, which needs ONNX Runtime: ordinary memory here.
mod runtime {
    use std::ops::Range;
    use std::sync::Arc;

    pub use mimi_server::runtime::*;

    /// Ordinary memory.
    pub struct HostMemory;

    /// A list in it.
    pub struct HostList<T>(Vec<T>);

    impl<T: Copy> HostList<T> {
        /// An empty one.
        pub fn new(_memory: &Arc<HostMemory>) -> Self {
            Self(Vec::new())
        }

        /// The elements.
        pub fn as_slice(&self) -> &[T] {
            &self.0
        }

        /// More elements.
        pub fn extend(&mut self, rows: &[&[T]]) -> Result<Range<usize>, Error> {
            let start = self.0.len();
            rows.iter().for_each(|row| self.0.extend_from_slice(row));
            Ok(start..self.0.len())
        }

        /// More of one element, changed.
        pub fn fill(
            &mut self,
            count: usize,
            value: T,
            change: impl FnOnce(&mut [T]),
        ) -> Result<Range<usize>, Error> {
            let start = self.0.len();
            self.0.resize(start + count, value);
            change(&mut self.0[start..]);
            Ok(start..self.0.len())
        }

        /// No elements.
        pub fn clear(&mut self, most: usize) {
            self.0.clear();
            self.0.shrink_to(most);
        }
    }
}

// Where those files look for the crate's modules.
use mimi_server::{backbone, engine, graph, pack};

/// Where they look for the engine's errors.
mod error {
    pub use mimi_server::engine::Error;
}

/// A pack with adapters, and the backbone's description it belongs to.
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packs/drawings/3");
const TINY: &str = include_str!("../fuzz/backbone.json");

fn main() {
    divan::main();
}

/// CLIP ViT-B/16 as the pack knows it.
fn config(fingerprint: &str) -> BackboneConfig {
    let mut json: serde_json::Value = serde_json::from_str(TINY).unwrap();
    for (key, value) in [
        ("image_size", 224),
        ("patch_size", 16),
        ("width", 768),
        ("depth", 12),
        ("heads", 12),
        ("mlp_width", 3072),
    ] {
        json[key] = value.into();
    }
    json["activation"] = "quick_gelu".into();
    json["fingerprint"] = fingerprint.into();
    json["preprocessing"]["image_size"] = 224.into();
    json["preprocessing"]["resize"]["short_side_then_crop"]["resize_to"] = 224.into();
    serde_json::from_value(json).unwrap()
}

/// The backbone and as many copies of the pack, which the engine takes for different ones.
fn packs(count: usize) -> (BackboneConfig, Vec<Arc<Pack>>) {
    let manifest = pack::read_manifest(PACK.as_ref()).unwrap();
    let config = config(&manifest.base_model_sha256);
    let packs = (0..count).map(|_| Arc::new(pack::read(PACK.as_ref(), &config).unwrap().0)).collect();
    (config, packs)
}

/// Inputs of a batch of 8 rows under 1, 2 and 8 packs.
#[divan::bench(args = [1, 2, 8])]
fn assemble(bencher: Bencher<'_, '_>, count: usize) {
    let (config, packs) = packs(count);
    let plan = Plan::whole(&config, packs[0].modules);
    let pixels = vec![0.5; config.input_shape(0).iter().product()];
    let rows = |row: usize| batch::BatchRow {
        entering: pixels::Entering::Values(&pixels),
        pack: Some(&packs[row % count]),
    };
    let rows: Vec<_> = (0..8).map(rows).collect();
    let mut laid = Some(batch::Laid::new(&Arc::new(runtime::HostMemory)));
    bencher.bench_local(|| {
        let batch = batch::Batch::assemble(black_box(&rows), &plan, &config, laid.take().unwrap());
        laid = Some(batch.unwrap().into_laid());
    });
}

/// 128 rows of 1, 16 and 128 tasks in, batches of 4 out.
#[divan::bench(args = [1, 16, 128])]
fn queue_128_rows(bencher: Bencher<'_, '_>, tasks: usize) {
    let names: Vec<TaskId> = (0..tasks).map(|task| format!("task-{task}").parse().unwrap()).collect();
    bencher.bench(|| {
        let mut queue = queue::Queue::default();
        for row in 0..128 {
            queue.push(Share::EVERYBODY, &names[row % tasks], 35_000_000_000, black_box(row));
        }
        let mut served = 0;
        while !queue.is_empty() {
            for taken in queue.take(4) {
                queue.settle(taken.charge, 30_000_000_000);
                served += black_box(taken.row);
            }
        }
        served
    });
}
