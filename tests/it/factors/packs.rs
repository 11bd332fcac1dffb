//! Packs that keep factors: small on disk, expanded when they are loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mimi_server::backbone::Module;
use mimi_server::files::System;
use mimi_server::pack::{self, Base, CONFIG_FILE, Contents, Factored, Pack, WEIGHTS_FILE};
use mimi_server::runtime::Expander;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::options;
use crate::server::{World, classify, image, post};
use crate::support::{Random, Tensor, TinyBackbone, write_safetensors};

/// A compacter pack of random factors in a folder, and what it was written from.
struct Kept {
    tiny: TinyBackbone,
    dir: tempfile::TempDir,
    factored: Factored,
}

impl Kept {
    fn new(method: &str, settings: &[&str]) -> Self {
        let tiny = TinyBackbone::from("methods_vit");
        let factored = random(&tiny, method, settings, 1);
        let dir = tempfile::tempdir().unwrap();
        let kept = Self { tiny, dir, factored };
        let folder = kept.write(&kept.factored);
        assert!(folder.ends_with("t/1"));
        kept
    }

    fn write(&self, factored: &Factored) -> PathBuf {
        let factored = Some(factored.clone());
        let contents = Contents { weights: Default::default(), ..self.tiny.contents(1, &[], 3) };
        let expanded =
            Contents { weights: served(&self.tiny, factored.as_ref().unwrap()), factored, ..contents };
        pack::write(&self.dir.path().join("t"), &expanded, &self.tiny.config).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("t/1")
    }

    fn base(&self) -> Base {
        Expander::base(&self.tiny.resident()).unwrap()
    }

    /// Why the pack cannot be read, once its manifest was changed.
    fn refused(&self, change: impl FnOnce(&mut Value)) -> String {
        let path = self.folder().join(CONFIG_FILE);
        let before = std::fs::read(&path).unwrap();
        let mut manifest: Value = serde_json::from_slice(&before).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.to_string()).unwrap();
        let error = pack::read_with(&System, &self.folder(), &self.base()).unwrap_err().to_string();
        std::fs::write(&path, before).unwrap();
        error
    }

    /// Why the pack cannot be read, once its tensors were changed, under a digest that fits.
    fn broken(&self, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
        let path = self.folder().join(WEIGHTS_FILE);
        let before = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&before).unwrap();
        let floats =
            |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let mut tensors = file
            .iter()
            .map(|(name, view)| {
                (name.to_owned(), Tensor { shape: view.shape().into(), data: floats(view.data()) })
            })
            .collect();
        change(&mut tensors);
        write_safetensors(&path, &tensors);
        let digest: String =
            Sha256::digest(std::fs::read(&path).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        let error = self.refused(|manifest| manifest["weights_sha256"] = digest.into());
        std::fs::write(&path, before).unwrap();
        error
    }
}

/// Random factors of a method.
fn random(tiny: &TinyBackbone, method: &str, settings: &[&str], seed: u64) -> Factored {
    let kind = options(method, 4, settings).kind(&tiny.config);
    let mut random = Random::new(seed);
    let shapes = kind.on(&tiny.config).trained();
    let tensors =
        shapes.into_iter().map(|(name, shape)| (name, random.floats(shape.iter().product(), 0.5))).collect();
    Factored { kind, tensors }
}

/// Modules of the right widths; what is in them is not written.
fn served(tiny: &TinyBackbone, factored: &Factored) -> BTreeMap<Module, pack::Weights> {
    let of = |(&module, &width): (&Module, &usize)| {
        let parts = module.form.parts();
        let part = |part| {
            let shape = tiny.config.part_shape(module, part, width).unwrap();
            (part, vec![0.0; shape.iter().product()])
        };
        (module, pack::Weights::new(width, parts.iter().map(|&own| part(own))))
    };
    factored.kind.widths.iter().map(of).collect()
}

#[test]
fn a_pack_of_factors_is_read_only_with_what_expands_it() {
    for (method, settings) in
        [("phm", "n=2"), ("compacter", "n=2"), ("fact-tk", "scale=1"), ("fact-tt", "scale=2")]
    {
        let kept = Kept::new(method, &[settings]);
        let config = &kept.tiny.config;
        let alone = pack::read(&kept.folder(), config).unwrap_err().to_string();
        assert!(alone.contains(&format!("the factors of {method}")), "{alone}");
        let (stored, _) = pack::read_stored(&kept.folder(), &Base::new(Arc::clone(config)).unwrap()).unwrap();
        assert_eq!(stored.manifest.format_version, 2);
        let count: usize = kept.factored.tensors.values().map(Vec::len).sum();
        assert_eq!(stored.stored_parameters(), count, "{method}");
        let text = mimi_server::inspect::pack(&stored, config).unwrap();
        assert!(text.contains(&format!("factorised by     {method} ")), "{text}");
        let pack = stored.pack(&kept.base()).unwrap();
        assert!(text.contains(&mimi_grouped(4 * pack.module_parameters())), "{text}");
        assert!(pack.bytes() > 4 * pack.module_parameters(), "what is expanded counts");
        assert_eq!(pack.modules, kept.factored.kind.modules());
    }
}

fn mimi_grouped(n: usize) -> String {
    let digits = n.to_string();
    let cut = digits.len() % 3;
    let (head, tail) = digits.split_at(cut);
    let groups = tail.as_bytes().chunks(3).map(|group| std::str::from_utf8(group).unwrap().to_owned());
    [head.to_owned()].into_iter().filter(|head| !head.is_empty()).chain(groups).collect::<Vec<_>>().join(",")
}

#[test]
fn packs_of_one_kind_compile_once() {
    let kept = Kept::new("compacter", &["n=2"]);
    let expander = Arc::new(Expander::new(kept.tiny.resident()));
    let base = Base::new(Arc::clone(&kept.tiny.config)).unwrap().expanded_by(Arc::clone(&expander) as _);
    let read = |folder: &Path| pack::read_with(&System, folder, &base).unwrap().0;
    let mut packs: Vec<Pack> = vec![read(&kept.folder())];
    for seed in 2..6 {
        packs.push(read(&kept.write(&random(&kept.tiny, "compacter", &["n=2"], seed))));
    }
    assert_eq!(expander.compiled(), 1);
    assert!(packs.windows(2).all(|pair| pair[0].weights != pair[1].weights));
    read(&kept.write(&random(&kept.tiny, "compacter", &["n=4"], 1)));
    assert_eq!(expander.compiled(), 2, "another setting is another kind");
}

#[test]
fn what_does_not_fit_is_told_with_its_operands() {
    let kept = Kept::new("compacter", &["n=2"]);
    let set = |name: &'static str, value: Value| {
        move |manifest: &mut Value| manifest["factorised"]["settings"][name] = value
    };
    let method =
        |name: &'static str| move |manifest: &mut Value| manifest["factorised"]["method"] = name.into();
    let cases: Vec<(String, &str)> = vec![
        (
            kept.refused(method("hyper")),
            "no method hyper makes tensors of these modules from smaller ones: there are phm, compacter, fact-tk, fact-tt",
        ),
        (kept.refused(method("lora")), "no method lora makes tensors"),
        (kept.refused(method("fact-tt")), "fact-tt: the setting scale is missing"),
        (kept.refused(set("m", json!(3))), "compacter has no setting m: it has activation, n, shared"),
        (kept.refused(set("n", json!(0))), "compacter: n = 0: expected a whole number from 1 to 64"),
        (kept.refused(set("n", json!("two"))), "compacter: n = two: expected a whole number from 1 to 64"),
        (kept.refused(set("shared", json!(1))), "compacter: shared = 1: expected true or false"),
        (kept.refused(set("activation", json!("tanh"))), "expected one of gelu, gelu_tanh, relu"),
        (kept.refused(set("activation", json!("relu"))), "it has no such module there"),
        (kept.refused(set("n", json!(64))), "n = 64 must divide the width 4 of the adapter and the width 16"),
        (
            kept.refused(|manifest| {
                manifest["factorised"]["settings"].as_object_mut().unwrap().remove("n");
            }),
            "compacter: the setting n is missing",
        ),
        (kept.refused(|manifest| manifest["format_version"] = json!(1)), "what only format 2 has"),
        (
            kept.refused(|manifest| drop(manifest.as_object_mut().unwrap().remove("factorised"))),
            "is missing (expected",
        ),
    ];
    for (error, words) in &cases {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn factors_that_are_wrong_are_told_by_name() {
    let kept = Kept::new("compacter", &["n=2"]);
    let s = "blocks.0.attn.bypass_output_gelu_tanh.factor.down_s";
    let missing = kept.broken(|tensors| drop(tensors.remove("shared.r")));
    assert_eq!(missing, "tensor shared.r is missing (expected [2, 2, 2])");
    let odd = kept.broken(|tensors| tensors.get_mut(s).unwrap().shape = vec![8, 2]);
    assert_eq!(odd, format!("tensor {s} is F32 [8, 2], expected F32 [2, 8]"));
    let infinite = kept.broken(|tensors| tensors.get_mut(s).unwrap().data[3] = f32::INFINITY);
    assert_eq!(infinite, format!("tensor {s} holds inf at position 3"));
    let stranger = kept.broken(|tensors| {
        let rule = tensors["shared.r"].clone();
        tensors.insert("shared.q".into(), rule);
    });
    assert!(stranger.contains("is not part of a pack with this manifest"), "{stranger}");
    // Finite factors whose product is not.
    let large = kept.broken(|tensors| {
        for (name, tensor) in
            tensors.iter_mut().filter(|(name, _)| name.contains("down_") || *name == "shared.r")
        {
            let is_bias = name.ends_with("bias");
            tensor.data.iter_mut().for_each(|value| *value = if is_bias { 0.0 } else { 1e20 });
        }
    });
    assert!(large.contains("as it is served, holds"), "{large}");
}

#[test]
fn an_expansion_beyond_the_limit_is_refused_before_it_begins() {
    let kept = Kept::new("fact-tk", &[]);
    let base = Base::new(Arc::clone(&kept.tiny.config)).unwrap();
    let (stored, _) = pack::read_stored(&kept.folder(), &base).unwrap();
    let config = &kept.tiny.config;
    let bytes: usize = stored.widths.keys().map(|&module| 4 * stored.served_parameters(module, config)).sum();
    assert!(pack::read_stored(&kept.folder(), &base.clone().at_most(bytes as u64)).is_ok());
    let error = pack::read_stored(&kept.folder(), &base.at_most(bytes as u64 - 1)).unwrap_err().to_string();
    let expected =
        format!("fact-tk: the served tensors would take {bytes} bytes, more than the {} allowed", bytes - 1);
    assert_eq!(error, expected);
}

#[test]
fn a_training_that_diverged_writes_no_factors() {
    let kept = Kept::new("phm", &["n=2"]);
    let mut factored = kept.factored.clone();
    factored.tensors.values_mut().next().unwrap()[0] = f32::NAN;
    let weights = served(&kept.tiny, &factored);
    let contents = Contents { weights, factored: Some(factored), ..kept.tiny.contents(1, &[], 3) };
    let error =
        pack::write(&kept.dir.path().join("u"), &contents, &kept.tiny.config).unwrap_err().to_string();
    assert!(error.contains("the training diverged"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_of_factors_is_served_and_a_wrong_one_leaves_it() {
    let world = World::of("methods_vit");
    let factored = random(&world.tiny, "compacter", &["n=2"], 1);
    let weights = served(&world.tiny, &factored);
    let contents = Contents { weights, factored: Some(factored), ..world.tiny.contents(1, &[], 3) };
    world.publish("t", &contents);
    let server = world.server().await;
    let app = server.app();
    let answer = classify(&app, "t", image("rgb.png")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["version"].as_u64()),
        (200, Some(1)),
        "{}",
        answer.text()
    );
    let second = world.publish("t", &contents);
    let path = second.join(CONFIG_FILE);
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["factorised"]["method"] = "hyper".into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let refused = post(&app, "/v1/tasks/t/reload", "application/json", "").await;
    assert_eq!(refused.code(), "pack_invalid");
    assert!(refused.text().contains("no method hyper makes tensors"), "{}", refused.text());
    let answer = classify(&app, "t", image("rgb.png")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["version"].as_u64()), (200, Some(1)));
}
