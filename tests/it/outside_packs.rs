//! Packs of PEFT and AdapterHub, and plain heads, give their library's logits or are refused by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mimi_server::import::pack::{Imported, Report, Request, import};
use mimi_server::pack::{self, Pack};
use serde_json::Value;

use crate::import_pack::logits;
use crate::support::{Fixture, Random, Tensor, TinyBackbone, assert_close, fixtures, write_safetensors};

/// The bar for logits of unit scale, absolute.
const TOLERANCE: f32 = 1e-4;

pub fn outside() -> PathBuf {
    fixtures().join("outside")
}

/// The expectations of both versions of transformers, and their notes on packs.
fn expected() -> Vec<(Fixture, BTreeMap<String, Value>)> {
    ["expected", "expected_transformers5"]
        .map(|name| {
            let fixture = Fixture::read(&outside().join(format!("{name}.safetensors")));
            let packs = serde_json::from_value(fixture.json("packs")).unwrap();
            (fixture, packs)
        })
        .into()
}

pub struct World {
    pub tiny: TinyBackbone,
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new(backbone: &str) -> Self {
        Self { tiny: TinyBackbone::outside(backbone), dir: tempfile::tempdir().unwrap() }
    }

    pub fn request(&self, from: &Path) -> Request {
        Request {
            from: from.into(),
            task: "imported".parse().unwrap(),
            adapters: self.dir.path().join("adapters"),
            labels: None,
            description: "a test".into(),
            activation: None,
            allow_different_backbone: false,
            head: None,
            check: None,
        }
    }

    pub fn import(&self, request: &Request) -> anyhow::Result<Report> {
        match import(&self.tiny.resident(), &self.tiny.folder, request)? {
            Imported::Other(report) => Ok(report),
            Imported::Mimi(_) => panic!("taken for a checkpoint of the reference"),
        }
    }

    pub fn error(&self, request: &Request) -> String {
        let error = format!("{:#}", self.import(request).expect_err("imported"));
        assert!(!request.adapters.exists(), "{error} left a pack");
        error
    }

    pub fn read(&self, report: &Report) -> Pack {
        pack::read(&report.folder, &self.tiny.config).unwrap().0
    }

    /// A head that hands on the feature, so that features can be compared as logits.
    pub fn identity(&self) -> PathBuf {
        let d = self.tiny.config.feature_width();
        let data = (0..d * d).map(|i| f32::from(u8::from(i % d == i / d))).collect();
        let weight = Tensor { shape: vec![d, d], data };
        let bias = Tensor { shape: vec![d], data: vec![0.0; d] };
        let path = self.dir.path().join("identity.safetensors");
        write_safetensors(&path, &BTreeMap::from([("weight".into(), weight), ("bias".into(), bias)]));
        path
    }
}

/// Imports what is expected under `name`, and compares features and, where there is a head, logits.
fn check(fixture: &Fixture, name: &str, about: &Value) {
    let world = World::new(about["backbone"].as_str().unwrap());
    let pixels = &fixture.tensors[&format!("input/{}/pixels", about["backbone"].as_str().unwrap())];
    let request = world.request(&outside().join(name));
    let expected = |kind: &str| fixture.tensors.get(&format!("expect/{name}/{kind}"));
    if !name.starts_with("heads/") {
        let report = world.import(&Request { head: Some(world.identity()), ..request.clone() }).unwrap();
        let features = logits(&world.tiny, &world.read(&report), pixels);
        assert_close(name, &features, &expected("features").unwrap().data, TOLERANCE);
        if let Some(forms) = about.get("forms") {
            let mut found: Vec<_> = report
                .modules
                .iter()
                .map(|(module, _)| module.to_string().splitn(3, '.').last().unwrap().to_owned())
                .collect();
            found.sort();
            found.dedup();
            assert_eq!(serde_json::json!(found), *forms, "{name}");
        }
    }
    let Some(expected) = expected("logits") else {
        let error = world.import(&request).unwrap_err().to_string();
        assert!(error.contains("no head; give one with --head"), "{name}: {error}");
        return;
    };
    let pack = world.read(&world.import(&request).unwrap());
    let mut found = logits(&world.tiny, &pack, pixels);
    if expected.shape[1] == 1 {
        // scikit-learn's logit of the second of two classes.
        assert!(found.iter().step_by(2).all(|logit| *logit == 0.0));
        found = found.into_iter().skip(1).step_by(2).collect();
    }
    assert_close(name, &found, &expected.data, TOLERANCE);
    assert_eq!(pack.manifest.provenance.details["base_unverified"], true);
}

/// Checks every pack that is to be read and whose name begins so.
fn check_all(start: &str) {
    let mut checked = 0;
    for (fixture, packs) in expected() {
        for (name, about) in packs.iter().filter(|(name, _)| name.starts_with(start)) {
            if about.get("refuse").is_none() {
                check(&fixture, name, about);
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
}

#[test]
fn packs_of_peft_give_its_features_and_logits() {
    check_all("peft");
}

#[test]
fn plain_heads_give_their_foreign_logits() {
    check_all("heads/");
}

#[test]
fn packs_of_adapter_hub_give_its_features_and_logits() {
    check_all("adapterhub");
}

/// A LoRA beside timm's fused projection is one beside each of the three, with the same first matrix.
#[test]
fn a_fused_projection_is_three() {
    let world = World::new("vit");
    let mut random = Random::new(5);
    let (down, up) = (random.floats(3 * 16, 0.3), random.floats(3 * 16 * 3, 0.3));
    let tensor =
        |rows: usize, data: &[f32]| Tensor { shape: vec![rows, data.len() / rows], data: data.to_vec() };
    let start = "base_model.model.";
    let fused = [("blocks.1.attn.qkv", &up[..])];
    let parts =
        ["query", "key", "value"].map(|name| format!("vit.encoder.layer.1.attention.attention.{name}"));
    let separate: Vec<(&str, &[f32])> = parts.iter().map(String::as_str).zip(up.chunks(16 * 3)).collect();
    let mut packs = Vec::new();
    for (name, modules) in [("fused", &fused[..]), ("separate", &separate)] {
        let folder = world.dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let config = outside().join("peft_vit_head/adapter_config.json");
        std::fs::copy(config, folder.join("adapter_config.json")).unwrap();
        let mut tensors = BTreeMap::new();
        for (module, up) in modules {
            tensors.insert(format!("{start}{module}.lora_A.weight"), tensor(3, &down));
            tensors.insert(format!("{start}{module}.lora_B.weight"), tensor(up.len() / 3, up));
        }
        write_safetensors(&folder.join("adapter_model.safetensors"), &tensors);
        let report =
            world.import(&Request { head: Some(world.identity()), ..world.request(&folder) }).unwrap();
        packs.push(world.read(&report).weights);
    }
    assert_eq!(packs[0].len(), 3);
    assert_eq!(packs[0], packs[1]);
}

#[test]
fn what_cannot_be_served_is_refused_by_file_key_and_reason() {
    let words = BTreeMap::from([
        ("adapterhub_ln", "adapter_config.json: ln_before: a norm of the adapter's own"),
        (
            "adapterhub_mh_post",
            "adapter_config.json: mh_adapter: an adapter between the first residual addition",
        ),
        ("adapterhub_two_layers", "head_config.json: layers: 2 layers; only one linear layer"),
        (
            "peft_clip_head",
            "adapter_model.safetensors: base_model.model.classifier: the heads of transformers on CLIP",
        ),
        (
            "peft_dinov2_head",
            "base_model.model.classifier: the head reads the class token beside the patches' mean",
        ),
        ("peft_vit_bias", "adapter_config.json: bias: the base's own biases were trained"),
        ("peft_vit_dora", "adapter_config.json: use_dora: DoRA scales the columns"),
        ("peft_vit_vera_unsaved", "adapter_config.json: save_projection: is off: the matrices A and B"),
    ]);
    let mut refused = 0;
    for (_, packs) in expected() {
        let not_read = |(_, about): &(&String, &Value)| about.get("refuse").is_some();
        for (name, about) in packs.iter().filter(not_read) {
            let world = World::new(about["backbone"].as_str().unwrap());
            let error = world.error(&world.request(&outside().join(name)));
            assert!(error.contains(words[name.as_str()]), "{name}: {error}");
            refused += 1;
        }
    }
    assert_eq!(refused, words.len());
}
