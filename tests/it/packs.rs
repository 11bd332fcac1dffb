//! Any bytes as a pack: an error, never a panic; and what is written is what is read.

use std::path::Path;

use mimi_server::backbone::{Module, Part, Place, Site};
use mimi_server::pack::{self, CONFIG_FILE, SelfTest, WEIGHTS_FILE};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::support::TinyBackbone;

#[test]
fn what_is_written_is_what_is_read() {
    let tiny = TinyBackbone::new();
    let (a, b) = (Site::new(0, Place::Mlp), Site::new(2, Place::Attn));
    let mut contents = tiny.contents(3, &[(a, 3), (b, 5)], 6);
    contents.self_test = SelfTest { images: vec![vec![1, 2, 3]], logits: vec![vec![0.5; 6]] };
    let dir = tempfile::tempdir().unwrap();
    let folder = pack::write(&dir.path().join("t"), &contents, &tiny.config).unwrap();
    assert!(folder.ends_with("t/1"));
    let (read, self_test) = pack::read(&folder, &tiny.config).unwrap();
    assert_eq!(self_test, contents.self_test);
    assert_eq!(read.manifest.labels, contents.labels);
    assert_eq!(read.manifest.leave_out.len(), 4);
    assert_eq!(read.modules.iter().collect::<Vec<_>>(), [a, b].map(Module::adapter));
    assert_eq!(read.weights, contents.weights);
    let adapter = &read.weights[&Module::adapter(b)];
    // Stored [R, D] and [D, R], as PyTorch has them; resident [D, R] and [R, D].
    let file = std::fs::read(folder.join(WEIGHTS_FILE)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let stored = |part: &str| -> Vec<f32> {
        let tensor = file.tensor(&format!("{b}.adapter.{part}.weight")).unwrap();
        tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (down, up) = (stored("down"), stored("up"));
    let d = tiny.config.block_width(2);
    for r in 0..5 {
        for i in 0..d {
            assert_eq!(adapter.part(Part::Down)[i * 5 + r], down[r * d + i]);
            assert_eq!(adapter.part(Part::Up)[r * d + i], up[i * 5 + r]);
        }
    }
    assert_eq!(read.parameters(), 2 * d * 8 + 6 * d + 6);
    let second = pack::write(&dir.path().join("t"), &contents, &tiny.config).unwrap();
    assert!(second.ends_with("t/2"), "versions are never overwritten");
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    assert_eq!(names(&dir.path().join("t")), 2, "nothing half-written stays");
}

#[test]
fn contents_that_do_not_fit_are_refused_and_leave_nothing() {
    let tiny = TinyBackbone::new();
    let dir = tempfile::tempdir().unwrap();
    let task = dir.path().join("t");
    let mut contents = tiny.contents(1, &[], 3);
    contents.labels[1] = contents.labels[0].clone();
    assert!(pack::write(&task, &contents, &tiny.config).is_err());
    let mut contents = tiny.contents(1, &[], 3);
    contents.head_bias.pop();
    assert!(pack::write(&task, &contents, &tiny.config).is_err());
    assert_eq!(std::fs::read_dir(&task).unwrap().count(), 0);
}

/// A written pack's two files.
fn files() -> (TinyBackbone, tempfile::TempDir, Vec<u8>, Vec<u8>) {
    let tiny = TinyBackbone::new();
    let dir = tempfile::tempdir().unwrap();
    let contents = tiny.contents(3, &[(Site::new(1, Place::Attn), 2)], 3);
    let folder = pack::write(&dir.path().join("t"), &contents, &tiny.config).unwrap();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (config, weights) = (read(CONFIG_FILE), read(WEIGHTS_FILE));
    (tiny, dir, config, weights)
}

/// Puts `weights` under a manifest whose digest fits, so that reading goes past the digest.
fn with_digest(config: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(config).unwrap();
    let digest: String = Sha256::digest(weights).iter().map(|b| format!("{b:02x}")).collect();
    json["weights_sha256"] = digest.into();
    json.to_string().into_bytes()
}

#[test]
fn damaged_files_are_errors() {
    let (tiny, dir, config, weights) = files();
    let folder = dir.path().join("t/1");
    let damage = (0..weights.len(), any::<u8>(), 0..weights.len(), any::<bool>());
    proptest!(ProptestConfig::with_cases(400), |((at, byte, cut, is_cut) in damage)| {
        let mut changed = weights.clone();
        changed[at] = byte;
        if is_cut {
            changed.truncate(cut);
        }
        std::fs::write(folder.join(CONFIG_FILE), with_digest(&config, &changed)).unwrap();
        std::fs::write(folder.join(WEIGHTS_FILE), &changed).unwrap();
        // Flipping a weight's bits may leave a valid pack; everything else is an error with words.
        if let Err(error) = pack::read(&folder, &tiny.config) {
            prop_assert!(!error.to_string().is_empty());
        } else {
            prop_assert!(!is_cut);
        }
    });
}

#[test]
fn arbitrary_bytes_are_errors() {
    let (tiny, dir, config, weights) = files();
    let folder = dir.path().join("t/1");
    let bytes = proptest::collection::vec(any::<u8>(), 0..600);
    proptest!(ProptestConfig::with_cases(200), |(bytes in bytes, is_config in any::<bool>())| {
        let (manifest, tensors) = match is_config {
            true => (bytes.clone(), weights.clone()),
            false => (with_digest(&config, &bytes), bytes.clone()),
        };
        std::fs::write(folder.join(CONFIG_FILE), manifest).unwrap();
        std::fs::write(folder.join(WEIGHTS_FILE), tensors).unwrap();
        prop_assert!(pack::read(&folder, &tiny.config).is_err());
    });
}
