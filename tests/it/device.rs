//! What the device of `MIMI_TEST_DEVICE` gives (the CPU unless it names another), against PyTorch and against the CPU.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use mimi_server::backbone::{ModuleSet, Precision};
use mimi_server::bench::{Bench, Options, Parity, parity};
use mimi_server::graph::ops::MatMul;
use mimi_server::graph::{DType, Graph, Node, PIXELS, Plan, build, halved};
use mimi_server::runtime::{Device, Input, Program, Resident, Runtime, RuntimeOptions, WeightStore};

use crate::support::{self, FAMILIES, Fixture, TinyBackbone, assert_close};

/// The precisions of the device.
fn precisions() -> Vec<Precision> {
    let [cpus, gpus] =
        [&[Precision::Fp32, Precision::Fp16][..], &[Precision::Fp32, Precision::Tf32, Precision::Fp16]];
    if support::device() == Device::Cpu { cpus.into() } else { gpus.into() }
}

/// What features of unit scale may differ by, from PyTorch's and from another device's in fp32. In fp32 a bar; below
/// it four standard deviations of what a run's roundings add up to, each independent and by half a last bit.
fn tolerance(precision: Precision, graph: &Graph) -> f32 {
    let roundings = match precision {
        // Both factors of every product.
        Precision::Tf32 => 2 * graph.nodes().iter().filter(|node| node.operator.is::<MatMul>()).count(),
        Precision::Fp16 => halves(graph),
        _ => return 1e-4,
    };
    4.0 * (roundings as f32).sqrt() * HALF_A_LAST_BIT
}

/// Values that are rounded to halves on the way: what is computed, and the frozen matrices.
fn halves(graph: &Graph) -> usize {
    let graph = halved(graph).unwrap();
    let moves = |node: &&Node| ["Reshape", "Transpose"].contains(&node.operator.name());
    let computed = graph.nodes().iter().filter(|node| !moves(node)).flat_map(|node| node.outputs.clone());
    let frozen = graph.weights().map(|(_, wire)| wire);
    computed.chain(frozen).filter(|&wire| graph.fact(wire).dtype == DType::F16).count()
}

/// Of a half and of TF32, which both have 10 bits of mantissa and one that is not stored; relative.
const HALF_A_LAST_BIT: f32 = 1.0 / 2048.0;

fn store(tiny: &TinyBackbone, runtime: &Runtime) -> Arc<WeightStore> {
    Arc::new(WeightStore::open(runtime, &tiny.config, &tiny.folder, tiny.weights()).unwrap())
}

#[test]
fn programs_share_one_copy_of_the_weights_and_give_pytorchs_features() {
    let runtime = support::runtime();
    for precision in precisions() {
        for name in FAMILIES {
            let tiny = TinyBackbone::from(name).at(precision);
            let store = store(&tiny, &runtime);
            let graph = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap();
            let fixture = Fixture::named(name);
            let pixels = &fixture.tensors["input/pixels"];
            for copy in 0..4 {
                // Compiling fails with `NotShared` when ONNX Runtime makes its own copy of a weight.
                let mut program = Program::compile(&runtime, &store, &graph).unwrap();
                let input = Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data };
                let found = program.run(&[input]).unwrap().remove(0);
                let expected = &fixture.tensors["expect/features"].data;
                assert_close(
                    &format!("{name} in {precision}, program {copy}"),
                    &found.data,
                    expected,
                    tolerance(precision, &graph),
                );
            }
        }
    }
}

/// A bench over a tiny backbone on a device.
fn bench(tiny: &TinyBackbone, device: Device) -> Bench {
    let runtime = Runtime::open(&RuntimeOptions { device, ..support::runtime_options() }).unwrap();
    let resident = Resident::on(&runtime, Arc::clone(&tiny.config), &tiny.folder, tiny.weights()).unwrap();
    let states_stay = device != Device::Cpu;
    Bench::new(resident, Options { batch: 2, width: 4, rounds: 1, states_stay, cuda_graphs: 0 })
}

#[test]
fn adapted_rows_of_one_pack_and_of_many_equal_the_cpus() {
    for name in FAMILIES {
        for precision in precisions() {
            let (exact, tiny) = (TinyBackbone::from(name), TinyBackbone::from(name).at(precision));
            let (theirs, ours) = (bench(&exact, Device::Cpu), bench(&tiny, support::device()));
            let late = tiny.config.sites().into_iter().skip(3).collect();
            for sites in [tiny.config.adapters(), late, ModuleSet::EMPTY] {
                let graph = build(&tiny.config, &Plan::whole(&tiny.config, sites)).unwrap();
                let most = tolerance(precision, &graph);
                let sizes = [(1, 1), (3, 1), (3, 3), (8, 5)];
                let mut expected = sizes.into_iter();
                let check = |found: Parity| {
                    // A comparison that a NaN fails.
                    let close = found.largest <= f64::from(most) && found.cosine >= 0.9999;
                    assert!(close, "{name} in {precision}, {most}, {found:?}");
                    assert_eq!(expected.next(), Some((found.rows, found.packs)));
                    assert_eq!(found.adapters, sites.len());
                    Ok(())
                };
                parity((&theirs, &ours), sizes.into_iter(), sites, check).unwrap();
                assert_eq!(expected.next(), None);
            }
        }
    }
}

#[test]
fn a_precision_that_the_device_lacks_is_refused_by_name() {
    let tf32 = TinyBackbone::new().at(Precision::Tf32);
    let opened = WeightStore::open(&cpu(), &tf32.config, &tf32.folder, tf32.weights());
    let said = opened.err().unwrap().to_string();
    assert_eq!(said, "precision tf32 needs a GPU (--device cuda), the device is cpu");
}

/// The processor's runtime, whatever the tests' device.
fn cpu() -> Runtime {
    Runtime::open(&RuntimeOptions { device: Device::Cpu, ..support::runtime_options() }).unwrap()
}

#[test]
fn a_row_is_the_same_in_batches_whose_sizes_alternate() {
    for name in FAMILIES {
        let tiny = TinyBackbone::from(name);
        let runtime = support::runtime();
        let graph = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap();
        let mut program = Program::compile(&runtime, &store(&tiny, &runtime), &graph).unwrap();
        let mut features = |rows: usize| {
            let data: Vec<f32> = (0..rows as u64).flat_map(|seed| tiny.pixels(seed).to_vec()).collect();
            let shape = [vec![rows], tiny.config.input_shape(0)].concat();
            program.run(&[Input { name: PIXELS, shape: &shape, data: &data }]).unwrap().remove(0).data
        };
        let alone = features(1);
        for rows in [8, 7, 8, 1, 64, 2] {
            assert_close(
                &format!("{name}, 1 of {rows}"),
                &features(rows)[..alone.len()],
                &alone,
                support::rounding(),
            );
        }
    }
}

/// `server bench` over a tiny backbone on a GPU, in a process of its own.
fn on_a_gpu(library: &Path) -> Output {
    let tiny = TinyBackbone::new();
    let mut command = Command::new(support::server());
    command.args(["bench", "--rounds", "1", "--device", "cuda"]).arg("--onnxruntime").arg(library);
    command.arg("--models").arg(tiny.folder.parent().unwrap());
    command.arg("--backbone").arg(tiny.folder.file_name().unwrap()).output().unwrap()
}

/// What a command says that was asked for a GPU where there is none.
fn assert_refused(done: &Output, because: &str) {
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(1), "{said}{errors}");
    assert_eq!(said, "", "nothing may run on another device");
    let last = errors.lines().last().unwrap_or_default();
    for word in ["error: device cuda:0 cannot be used", because, "docs/gpu.md"] {
        assert!(last.contains(word), "{word:?} is not in {errors}");
    }
}

/// Whether a library is the CUDA build: its provider lies beside it.
fn for_cuda(library: &Path) -> bool {
    library.with_file_name("libonnxruntime_providers_cuda.so").exists()
}

#[test]
fn the_cpu_build_refuses_a_gpu_and_says_what_is_missing() {
    let library = support::runtime_options().library;
    if for_cuda(&library) {
        eprintln!("*** SKIPPED: {} is a CUDA build", library.display());
        return;
    }
    assert_refused(&on_a_gpu(&library), "make runtime DEVICE=cuda");
}

#[test]
fn the_cuda_build_without_a_gpu_says_what_is_missing() {
    let fetched = support::repository().join("vendor/onnxruntime-gpu/libonnxruntime.so.1.31.1");
    let library = [support::runtime_options().library, fetched].into_iter().find(|library| for_cuda(library));
    match library {
        Some(library) if !Path::new("/dev/nvidiactl").exists() => {
            assert_refused(&on_a_gpu(&library), "libonnxruntime_providers_cuda.so")
        }
        Some(_) => eprintln!("*** SKIPPED: this machine has a GPU"),
        None => eprintln!("*** SKIPPED: `make runtime DEVICE=cuda` fetches the CUDA build"),
    }
}
