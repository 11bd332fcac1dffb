//! The real backbones, where their files were fetched (`make test` does), against timm's numbers.

use std::path::PathBuf;
use std::sync::Arc;

use mimi_server::backbone::{BackboneConfig, ModuleSet, ONNX_FILE};
use mimi_server::graph::{PIXELS, Plan, build};
use mimi_server::import::backbone::{Request, import};
use mimi_server::runtime::{Device, Input, Program, Runtime, RuntimeOptions, WeightOptions, WeightStore};

use crate::support::{self, Fixture, assert_close, repository};

/// A fetched file; without it the test is skipped, loudly, unless `REQUIRE_ASSETS=1`.
fn asset(name: &str) -> Option<PathBuf> {
    let path = repository().join("assets").join(name);
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("REQUIRE_ASSETS").as_deref(), Ok("1"), "{} is missing", path.display());
    eprintln!("*** SKIPPED: {} is missing; `make test` fetches it", path.display());
    None
}

/// The fixture's stored bytes as the network's pixels.
fn pixels(fixture: &Fixture) -> (Vec<usize>, Vec<f32>) {
    let stored = &fixture.tensors["input/pixels"]; // [B, S, S, 3]
    let [batch, side, _, _] = stored.shape[..] else { panic!("{:?}", stored.shape) };
    let statistic = |key: &str| -> Vec<f32> {
        fixture.json(key).as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    let (mean, std) = (statistic("mean"), statistic("std"));
    let mut data = Vec::with_capacity(stored.data.len());
    for image in stored.data.chunks(side * side * 3) {
        for channel in 0..3 {
            let plane = image.iter().skip(channel).step_by(3);
            data.extend(plane.map(|value| (value / 255.0 - mean[channel]) / std[channel]));
        }
    }
    (vec![batch, 3, side, side], data)
}

/// Imports the real weights and compares the pooled features with timm's, relative to their root mean square.
fn check(file: &str, image_size: Option<usize>, fixture: &str) -> Option<BackboneConfig> {
    let weights = asset(file)?;
    let dir = tempfile::tempdir().unwrap();
    let request =
        Request { weights, name: "real".into(), out: dir.path().into(), image_size, ..Request::default() };
    let config = import(&request).unwrap();
    let folder = dir.path().join("real");
    let store =
        Arc::new(WeightStore::open(&support::runtime(), &config, &folder, WeightOptions::default()).unwrap());
    let graph = build(&config, &Plan::whole(&config, ModuleSet::EMPTY)).unwrap();
    let mut program = Program::compile(&support::runtime(), &store, &graph).unwrap();
    let fixture = Fixture::named(fixture);
    let (shape, data) = pixels(&fixture);
    let output = program.run(&[Input { name: PIXELS, shape: &shape, data: &data }]).unwrap().remove(0);
    let expected = &fixture.tensors["expect/features"].data;
    let mean_square = expected.iter().map(|v| v * v).sum::<f32>() / expected.len() as f32;
    assert_close(file, &output.data, expected, 1e-4 * mean_square.sqrt().max(1.0));
    assert!(folder.join(ONNX_FILE).metadata().unwrap().len() > 10_000);
    Some(config)
}

#[test]
fn clip_gives_timms_features() {
    let Some(config) = check("clip_encoder.int8.onnx", None, "clip_vitb16_features") else { return };
    // The file has 86,192,640 parameters; the projection to the text's space, 768 x 512, is no part of it.
    assert_eq!(config.parameters(), 86_192_640 - 768 * 512);
    assert_eq!(config.provenance.left_out, ["visual_projection.weight"]);
    // A pack is tied to its backbone by the fingerprint, so importing must give the same bytes for ever.
    let task = repository().join("adapters/openclipart");
    let newest = mimi_server::pack::versions(&task).unwrap().pop().unwrap();
    let manifest = task.join(newest.to_string()).join("adapter_config.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["base_model_sha256"], config.fingerprint, "the shipped packs no longer fit");
}

#[test]
fn dinov2_gives_timms_features_at_another_image_size() {
    let Some(config) = check("vit_s_focus.onnx", Some(224), "dinov2_small_features") else { return };
    // The file has 22,056,192 for 37 x 37 positions; at 224 pixels there are 16 x 16.
    assert_eq!(config.parameters(), 22_056_192 - (37 * 37 - 16 * 16) * 384);
    let left_out = &config.provenance.left_out;
    assert!(!left_out.is_empty() && left_out.iter().all(|name| name.starts_with("decoder.")), "{left_out:?}");
}

#[test]
fn an_absent_device_is_an_error_and_never_another() {
    // With a GPU, `MIMI_TEST_DEVICE=cuda` runs the same comparison there, in a process of its own.
    if support::device() != Device::Cpu {
        eprintln!("*** SKIPPED: this machine has a GPU");
        return;
    }
    support::runtime();
    let options = RuntimeOptions { device: Device::Cuda(0), ..support::runtime_options() };
    let refused = Runtime::open(&options).err().expect("there is no GPU here");
    assert!(refused.to_string().contains("cuda:0"), "{refused}");
}

#[test]
fn devices_that_cannot_share_a_queue_are_refused() {
    let cases = [
        ("serve", "cpu,cpu", "--device names cpu twice"),
        ("serve", "cuda:1,cuda:0,cuda:1", "--device names cuda:1 twice"),
        ("serve", "cuda:0,cpu", "--device names cpu beside another device"),
        ("bench", "cuda:0,cuda:1", "--device names 2 devices: this command runs on one"),
    ];
    for (command, devices, expected) in cases {
        let output = support::command(&[command, "--device", devices]).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains(expected), "{command} {devices}: {words}");
    }
}

#[test]
fn a_missing_library_is_an_error_that_says_what_to_do() {
    // Asked in a process of its own: this one has loaded its library already.
    let binary = env!("CARGO_BIN_EXE_server");
    let dir = tempfile::tempdir().unwrap();
    let tiny = support::TinyBackbone::new();
    let name = tiny.config.name.clone();
    let output = std::process::Command::new(binary)
        .args(["serve", "--port", "0", "--onnxruntime", "/nowhere/libonnxruntime.so", "--backbone", &name])
        .arg("--models")
        .arg(tiny.folder.parent().unwrap())
        .arg("--adapters")
        .arg(dir.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(words.contains("/nowhere/libonnxruntime.so") && words.contains("make runtime"), "{words}");
}
