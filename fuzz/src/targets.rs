//! What is done with any bytes. The server's own tests run these functions over the corpora too
//! (`tests/it/fuzz.rs`), so they must neither panic, hang nor take much memory on any input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mimi_server::backbone::BackboneConfig;
use mimi_server::image::{Limits, Preprocessing, decode};
use mimi_server::import::backbone::{PreprocessingName, Request, import};
use mimi_server::import::torch::{Object, TorchFile};
use mimi_server::{http, pack, train};
use sha2::{Digest, Sha256};

/// The backbone that packs of the corpus belong to, as `config.json` says it.
pub const BACKBONE: &str = include_str!("../backbone.json");

/// Small, so that nothing that is accepted takes long.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

/// An image: decoded, and brought to a backbone's size.
pub fn image(bytes: &[u8]) {
    if let Ok(decoded) = decode(bytes, &LIMITS) {
        let (width, height) = decoded.dimensions();
        assert!(width > 0 && height > 0 && u64::from(width) * u64::from(height) <= LIMITS.max_pixels);
        if let Ok(pixels) = Preprocessing::clip(32).apply(&decoded) {
            assert!(pixels.len() == 3 * 32 * 32 && pixels.iter().all(|value| value.is_finite()));
        }
    }
}

/// A pack: its manifest, a zero byte, its tensors. The digest is put right, so that it hides nothing.
pub fn pack(bytes: &[u8]) {
    static CONFIG: OnceLock<Option<BackboneConfig>> = OnceLock::new();
    let Some(config) = CONFIG.get_or_init(|| serde_json::from_str(BACKBONE).ok()) else {
        panic!("backbone.json does not describe a backbone")
    };
    let cut = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (manifest, tensors) = (&bytes[..cut], bytes.get(cut + 1..).unwrap_or_default());
    let manifest = match serde_json::from_slice::<serde_json::Value>(manifest) {
        Ok(serde_json::Value::Object(mut fields)) => {
            let digest: String = Sha256::digest(tensors).iter().map(|byte| format!("{byte:02x}")).collect();
            fields.insert("weights_sha256".into(), digest.into());
            serde_json::Value::Object(fields).to_string().into_bytes()
        }
        _ => manifest.to_vec(),
    };
    let dir = Scratch::new("pack");
    write(&dir.0.join(pack::CONFIG_FILE), &manifest);
    write(&dir.0.join(pack::WEIGHTS_FILE), tensors);
    if let Ok((read, _)) = pack::read(&dir.0, config) {
        assert!(!read.manifest.labels.is_empty() && read.parameters() > 0);
    }
}

/// A checkpoint: the first byte says as what its bytes are imported.
pub fn checkpoint(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let ending = ["safetensors", "pth", "onnx"][usize::from(kind) % 3];
    if ending == "pth" {
        read_numbers(bytes);
    }
    let dir = Scratch::new("checkpoint");
    let weights = dir.0.join(format!("model.{ending}"));
    write(&weights, bytes);
    let request = Request {
        weights,
        name: "fuzzed".into(),
        out: dir.0.clone(),
        heads: Some(2),
        preprocessing: Some(PreprocessingName::Clip),
        overwrite: true,
        ..Request::default()
    };
    if let Ok(config) = import(&request) {
        assert!(config.depth() > 0 && config.feature_width() > 0);
    }
}

/// Everything in a file of `torch.save`, of whatever meaning.
fn read_numbers(bytes: &[u8]) {
    let Ok(mut file) = TorchFile::open(bytes) else { return };
    let tree = file.tree().clone();
    for &(key, value) in tree.items(tree.root()).unwrap_or_default() {
        if let Object::Text(name) = tree.get(key) {
            let _ = file.numbers(name, tree.get(value));
        }
    }
}

/// A list of labelled images.
pub fn list(bytes: &[u8]) {
    let _ = train::parse_list(bytes, Path::new("list.csv"));
}

/// A request's body: the content type, a line feed, the body.
pub fn body(bytes: &[u8]) {
    static RUNTIME: OnceLock<Option<tokio::runtime::Runtime>> = OnceLock::new();
    let start = || tokio::runtime::Builder::new_current_thread().enable_time().build().ok();
    let Some(runtime) = RUNTIME.get_or_init(start) else { panic!("there is no runtime") };
    let cut = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let content_type = String::from_utf8_lossy(&bytes[..cut]);
    let body = bytes.get(cut + 1..).unwrap_or_default().to_vec();
    let _ = runtime.block_on(http::examine_body(&content_type, body));
}

/// A folder for what a target must find in files; gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("mimi-fuzz-{}-{name}", std::process::id()));
        if let Err(error) = fs::create_dir_all(&dir) {
            panic!("{}: {error}", dir.display());
        }
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = fs::write(path, bytes) {
        panic!("{}: {error}", path.display());
    }
}
