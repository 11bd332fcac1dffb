//! What several test files share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use mimi_server::backbone::{Activation, BackboneConfig, Module, Pool, Precision, Site};
use mimi_server::files::System;
use mimi_server::graph::Bytes;
use mimi_server::image::Preprocessing;
use mimi_server::import::backbone::{PreprocessingName, Request, import};
use mimi_server::pack::{self, Contents, Decision, Pack, Provenance, SelfTest, Weights};
use mimi_server::runtime::{Device, Expander, Resident, Runtime, RuntimeOptions, WeightOptions, WeightStore};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One tiny backbone a family: what holds for all of them is tested over this table.
pub const FAMILIES: [&str; 3] = ["vit_timm", "swin_timm", "cvt_hf"];

/// Threads of every test's runtime: ONNX Runtime allows one setting a process.
pub const THREADS: usize = 2;

/// The runtime of the process.
pub fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::open(&runtime_options()).unwrap()).clone()
}

/// The device that tests run on, from `MIMI_TEST_DEVICE`: the CPU unless it names another.
pub fn device() -> Device {
    std::env::var("MIMI_TEST_DEVICE").map_or(Device::Cpu, |device| device.parse().unwrap())
}

/// Bytes of an engine's bank of packs: what a server would have there.
pub fn bank_bytes() -> u64 {
    mimi_server::engine::bank_bytes(device())
}

/// What states of images are given on the device that tests run on.
pub fn states_bytes(prefix_memory: u64) -> Option<u64> {
    mimi_server::engine::states_bytes(device(), prefix_memory)
}

/// What rows may differ by that ran beside other rows, or in other programs, relative to the largest value: a GPU
/// chooses its products' algorithms by their sizes.
pub fn rounding() -> f32 {
    if device() == Device::Cpu { 1e-5 } else { 1e-4 }
}

pub fn runtime_options() -> RuntimeOptions {
    let library = std::env::var("MIMI_ONNXRUNTIME").map(PathBuf::from);
    let library =
        library.unwrap_or_else(|_| repository().join("vendor/onnxruntime/libonnxruntime.so.1.31.1"));
    RuntimeOptions { library, device: device(), threads: THREADS, spin: false }
}

/// The repository's root: where the tests were built or, on another machine, where `CARGO_MANIFEST_DIR` says.
pub fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

/// The binary: as built beside the tests or, on another machine, where `CARGO_BIN_EXE_server` says.
pub fn server() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_server").unwrap_or_else(|| env!("CARGO_BIN_EXE_server").into()).into()
}

/// The server's command line, with nothing of this process's own settings and no terminal.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(server());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MIMI_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

pub fn fixtures() -> PathBuf {
    repository().join("tests/fixtures")
}

/// A fp32 or byte tensor of a fixture, as fp32.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// A file of reference numbers.
pub struct Fixture {
    pub name: String,
    pub metadata: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Fixture {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F32 => {
                    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
                }
                Dtype::U8 => view.data().iter().map(|&b| f32::from(b)).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), Tensor { shape: view.shape().to_vec(), data })
        });
        let tensors = tensors.collect();
        Self { name: path.file_stem().unwrap().to_string_lossy().into_owned(), metadata, tensors }
    }

    pub fn named(name: &str) -> Self {
        Self::read(&fixtures().join(format!("{name}.safetensors")))
    }

    pub fn json(&self, key: &str) -> Value {
        serde_json::from_str(&self.metadata[key]).unwrap()
    }

    /// Tensors whose names begin with `prefix`, without it.
    pub fn under(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let strip = |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone()));
        self.tensors.iter().filter_map(strip).collect()
    }

    /// Imports the fixture's weights as a backbone into `dir`.
    pub fn import(&self, dir: &Path) -> (BackboneConfig, PathBuf) {
        let weights = dir.join(format!("{}.safetensors", self.name));
        write_safetensors(&weights, &self.under("weights/"));
        if let Some(json) = self.metadata.get("config_json") {
            std::fs::write(dir.join("config.json"), json).unwrap();
        }
        let config = self.json("config");
        let number = |key: &str| config[key].as_u64().map(|n| n as usize);
        let activation = match config["activation"].as_str() {
            Some("quick_gelu") => Activation::QuickGelu,
            Some("gelu_tanh") => Activation::GeluTanh,
            _ => Activation::Gelu,
        };
        let has_fc_norm = self.tensors.contains_key("weights/fc_norm.weight");
        let request = Request {
            weights,
            name: self.name.replace('_', "-"),
            out: dir.to_owned(),
            image_size: number("image_size"),
            heads: number("heads"),
            activation: Some(activation),
            pool: (config["pool"] == "mean" && !has_fc_norm).then_some(Pool::Mean),
            layer_norm_eps: None,
            preprocessing: Some(PreprocessingName::Clip),
            cvt: None,
            key: None,
            overwrite: false,
        };
        let imported = import(&request).unwrap();
        let folder = dir.join(&imported.name);
        (imported, folder)
    }
}

/// Writes fp32 tensors.
pub fn write_safetensors(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, t)| (name.as_str(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, t)| {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, t.shape.clone(), &bytes[name.as_str()]);
        (name.as_str(), view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A tiny backbone in a folder that goes with it.
pub struct TinyBackbone {
    /// Keeps the folder.
    _dir: tempfile::TempDir,
    pub config: Arc<BackboneConfig>,
    pub folder: PathBuf,
    /// What its programs multiply in, and what its packs say they were trained at.
    pub precision: Precision,
    /// How its quantised matrices are written, where a test wants one way.
    bytes: Option<Bytes>,
}

impl TinyBackbone {
    /// Three blocks of width 48, 32 pixels a side: timm's own random weights.
    pub fn new() -> Self {
        Self::from("vit_timm")
    }

    pub fn from(fixture: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, folder) = Fixture::named(fixture).import(dir.path());
        Self { _dir: dir, config: Arc::new(config), folder, precision: Precision::Fp32, bytes: None }
    }

    /// A backbone of another library's packs.
    pub fn outside(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let request = Request {
            weights: fixtures().join("outside/backbones").join(name).join("model.safetensors"),
            name: name.into(),
            out: dir.path().to_owned(),
            pool: (name != "swin").then_some(Pool::Cls),
            preprocessing: Some(PreprocessingName::Siglip),
            ..Request::default()
        };
        let config = import(&request).unwrap();
        let folder = dir.path().join(name);
        Self { _dir: dir, config: Arc::new(config), folder, precision: Precision::Fp32, bytes: None }
    }

    /// The same backbone in another precision.
    pub fn at(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same backbone with quantised matrices written in one way.
    pub fn with(self, bytes: Option<Bytes>) -> Self {
        Self { bytes, ..self }
    }

    pub fn weights(&self) -> WeightOptions {
        WeightOptions { precision: self.precision, bytes: self.bytes, ..WeightOptions::default() }
    }

    pub fn store(&self) -> Arc<WeightStore> {
        Arc::new(WeightStore::open(&runtime(), &self.config, &self.folder, self.weights()).unwrap())
    }

    /// The backbone in the tests' runtime.
    pub fn resident(&self) -> Resident {
        Resident::new(runtime(), self.store(), Arc::clone(&self.config))
    }

    /// A pack with the given adapters, random but the same for the same seed.
    pub fn contents(&self, seed: u64, widths: &[(Site, usize)], classes: usize) -> Contents {
        let mut random = Random::new(seed);
        let d = self.config.feature_width();
        let weights = widths.iter().map(|&(site, r)| {
            let d = self.config.block_width(site.block);
            let (down, up) = (random.floats(r * d, 0.2), random.floats(d * r, 0.2));
            (Module::adapter(site), Weights::adapter(r, &down, &up))
        });
        Contents {
            weights: weights.collect(),
            factored: None,
            small: Default::default(),
            depths: Vec::new(),
            head_weight: random.floats(classes * d, 0.3),
            head_bias: random.floats(classes, 0.3),
            labels: (0..classes).map(|c| format!("class-{c}")).collect(),
            decision: Decision::default(),
            preprocessing: Preprocessing::clip(self.config.image_size() as u32),
            precision: self.precision,
            self_test: SelfTest::default(),
            tolerance: 1e-3,
            provenance: Provenance::default(),
        }
    }

    /// The same pack, written and read.
    pub fn pack(&self, seed: u64, widths: &[(Site, usize)], classes: usize) -> Arc<Pack> {
        let dir = tempfile::tempdir().unwrap();
        let task = dir.path().join("task");
        let folder = pack::write(&task, &self.contents(seed, widths, classes), &self.config).unwrap();
        Arc::new(pack::read(&folder, &self.config).unwrap().0)
    }

    /// The pack in a folder, as it is served.
    pub fn read(&self, folder: &Path) -> Arc<Pack> {
        let base = Expander::base(&self.resident()).unwrap();
        Arc::new(pack::read_with(&System, folder, &base).unwrap().0)
    }

    /// Random pixels of one image.
    pub fn pixels(&self, seed: u64) -> Arc<[f32]> {
        Random::new(seed).floats(self.config.input_shape(0).iter().product(), 1.0).into()
    }
}

/// Seeded numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in -scale..scale.
    pub fn floats(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.0.random_range(-scale..scale)).collect()
    }
}

/// Asserts that two vectors agree within `tolerance`, absolute; says where they differ most.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths differ");
    let difference = |i: usize| (found[i] - expected[i]).abs();
    let worst = (0..found.len()).max_by(|&a, &b| difference(a).total_cmp(&difference(b)));
    if let Some(i) = worst {
        let (f, e) = (found[i], expected[i]);
        assert!(difference(i) <= tolerance, "{what}: at {i} found {f}, expected {e}, tolerance {tolerance}");
    }
}
