//! Damaged and hostile packs of other libraries: a clear error and no pack, never a panic.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::outside_packs::{World, outside};
use crate::support::{Fixture, Tensor, write_safetensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const QUERY: &str = "base_model.model.vit.encoder.layer.0.attention.attention.query.lora_A.weight";

type Tensors = BTreeMap<String, Tensor>;

/// A copy of a pack, to be damaged.
struct Copy {
    world: World,
    folder: PathBuf,
}

impl Copy {
    fn of(name: &str) -> Self {
        let world = World::new("vit");
        let folder = world.dir.path().join("theirs");
        let copy = Self { world, folder };
        copy.restore(name);
        copy
    }

    fn restore(&self, name: &str) {
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).unwrap();
        for entry in std::fs::read_dir(outside().join(name)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), self.folder.join(entry.file_name())).unwrap();
        }
    }

    fn config(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.folder.join(file);
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(path, json.to_string()).unwrap();
    }

    fn tensors(&self, change: impl FnOnce(&mut Tensors)) {
        let path = self.folder.join(WEIGHTS);
        let mut tensors = Fixture::read(&path).tensors;
        change(&mut tensors);
        write_safetensors(&path, &tensors);
    }

    fn error(&self) -> String {
        self.world.error(&self.world.request(&self.folder))
    }
}

fn renamed(tensors: &mut Tensors, from: &str, to: &str) {
    let all = std::mem::take(tensors).into_iter();
    tensors.extend(all.map(|(name, tensor)| (name.replace(from, to), tensor)));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    type Case = (&'static str, fn(&mut Tensors), &'static str);
    let cases: [Case; 12] = [
        (
            "a number that is none",
            |t| t.get_mut(QUERY).unwrap().data[3] = f32::NAN,
            "query.lora_A.weight: holds NaN",
        ),
        (
            "an infinite head",
            |t| t.get_mut("base_model.model.classifier.bias").unwrap().data[0] = f32::INFINITY,
            "classifier: holds inf",
        ),
        ("another rank", |t| *t.get_mut(QUERY).unwrap() = ones(&[2, 16]), "the configuration says rank 3"),
        (
            "another width",
            |t| *t.get_mut(QUERY).unwrap() = ones(&[3, 24]),
            "down at blocks.0.q has 72 numbers, vit needs 48",
        ),
        ("a convolution", |t| *t.get_mut(QUERY).unwrap() = ones(&[3, 16, 1, 1]), "expected a matrix"),
        ("no numbers", |t| *t.get_mut(QUERY).unwrap() = ones(&[3, 0]), "expected a matrix"),
        (
            "half a pair",
            |t| drop(t.remove(&QUERY.replace("lora_A", "lora_B"))),
            "query.lora_B.weight: is missing",
        ),
        ("a block too many", |t| renamed(t, "layer.1.", "layer.7."), "has no such block; it has 2"),
        (
            "a text tower",
            |t| renamed(t, "model.vit.encoder.layer", "model.text_model.encoder.layers"),
            "is not a linear layer of a block",
        ),
        (
            "something more",
            |t| drop(t.insert("base_model.model.vit.pooler.dense.weight".into(), ones(&[1]))),
            "pooler.dense.weight: is no tensor",
        ),
        (
            "another head",
            |t| *t.get_mut("base_model.model.classifier.weight").unwrap() = ones(&[3, 32]),
            "the head reads 32 features, vit gives 16",
        ),
        (
            "a bias too long",
            |t| *t.get_mut("base_model.model.classifier.bias").unwrap() = ones(&[4]),
            "3 classes, but the bias has shape [4]",
        ),
    ];
    for (what, change, words) in cases {
        let copy = Copy::of("peft_vit_head");
        copy.tensors(change);
        let error = copy.error();
        assert!(error.contains(words) && error.contains(WEIGHTS), "{what}: {error}");
    }
}

#[test]
fn settings_that_cannot_be_followed_are_named() {
    let cases: [(Value, &str); 14] = [
        (json!({"peft_type": "IA3"}), "peft_type: is IA3; LORA and VERA are read"),
        (json!({"peft_type": "MIMI"}), "is a pack of this server already"),
        (json!({"peft_type": null}), "is neither a configuration of PEFT"),
        (json!({"use_dora": true}), "use_dora: DoRA"),
        (json!({"use_qalora": true}), "use_qalora: QA-LoRA"),
        (json!({"use_nonsense": true}), "use_nonsense: it is not known what this does"),
        (json!({"nonsense_config": {"a": 1}}), "nonsense_config: it is not known"),
        (
            json!({"init_lora_weights": "pissa_niter_16"}),
            "init_lora_weights: this initialisation changes the base",
        ),
        (json!({"layer_replication": [[0, 1]]}), "layer_replication: the base's blocks were repeated"),
        (json!({"r": "3"}), "r: expected a number"),
        (json!({"r": -3}), "the configuration says rank -3"),
        (json!({"lora_alpha": 1e308, "rank_pattern": {"query": 3e-308}}), "the configuration says rank"),
        (json!({"alpha_pattern": {"(": 1}}), "alpha_pattern: (: not an expression"),
        (json!({"alpha_pattern": {"query": 1e300}}), "holds"),
    ];
    for (fields, words) in cases {
        let copy = Copy::of("peft_vit_head");
        copy.config(CONFIG, |json| fields.as_object().unwrap().iter().for_each(|(k, v)| json[k] = v.clone()));
        let error = copy.error();
        assert!(error.contains(words), "{fields}: {error}");
    }
    let hub: [(&str, Value, &str); 6] = [
        (CONFIG, json!({"use_gating": true}), "use_gating: a gate"),
        (CONFIG, json!({"non_linearity": "leakyrelu"}), "non_linearity: is leakyrelu"),
        (CONFIG, json!({"architecture": "reft"}), "architecture: is reft"),
        (CONFIG, json!({"adapter_residual_before_ln": true}), "adapter_residual_before_ln: the residual"),
        ("head_config.json", json!({"multilabel": true}), "multilabel: is on"),
        (
            "head_config.json",
            json!({"label2id": {"a": 0, "b": 5, "c": 1}}),
            "label2id: id2label does not number",
        ),
    ];
    for (file, fields, words) in hub {
        let copy = Copy::of("adapterhub_seq_bn");
        copy.config(file, |json| {
            fields.as_object().unwrap().iter().for_each(|(k, v)| json["config"][k] = v.clone())
        });
        let error = copy.error();
        assert!(error.contains(words) && error.contains(file), "{fields}: {error}");
    }
}

#[test]
fn a_configuration_names_no_file_that_is_opened() {
    let copy = Copy::of("peft_vit_head");
    copy.config(CONFIG, |json| json["base_model_name_or_path"] = json!("../../\u{1b}[2J/etc/passwd"));
    let report = copy.world.import(&copy.world.request(&copy.folder)).unwrap();
    let notice = report.notices.iter().find(|notice| notice.contains("as its base")).unwrap();
    assert!(notice.contains("\\u{1b}") && !notice.contains('\u{1b}'), "{notice}");
    let claimed = &copy.world.read(&report).manifest.provenance.details["claimed_base"];
    assert!(claimed.as_str().unwrap().contains("passwd"));
}

#[test]
fn files_of_impossible_sizes_are_refused_unread() {
    let copy = Copy::of("peft_vit_head");
    let large = |name: &str, bytes: u64| {
        std::fs::File::create(copy.folder.join(name)).unwrap().set_len(bytes).unwrap();
        let error = copy.error();
        assert!(error.contains("bytes allowed") && error.contains(name), "{error}");
        copy.restore("peft_vit_head");
    };
    large(CONFIG, 1 << 33);
    large(WEIGHTS, 1 << 40);
    // A header that promises more than there is.
    let header =
        format!(r#"{{"{QUERY}":{{"dtype":"F32","shape":[4294967295,4294967295],"data_offsets":[0,8]}}}}"#);
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    std::fs::write(copy.folder.join(WEIGHTS), bytes).unwrap();
    assert!(copy.error().contains(WEIGHTS));
    std::fs::remove_file(copy.folder.join(WEIGHTS)).unwrap();
    assert!(copy.error().contains("has none of adapter_model.safetensors, adapter_model.bin"));
    std::fs::create_dir(copy.folder.join(WEIGHTS)).unwrap();
    assert!(copy.error().contains("expected a file"));
    std::fs::remove_file(copy.folder.join(CONFIG)).unwrap();
    assert!(copy.error().contains("has no adapter_config.json"));
}

#[test]
fn packs_of_another_base_are_refused() {
    for (pack, backbone, words) in [
        ("peft_vit", "swin", "is not a linear layer of a block"),
        ("peft_swin", "vit", "is not a linear layer of a block"),
        ("peft_dinov2", "vit", "DINOv2's blocks have a layer scale, those of vit have none"),
        ("adapterhub_seq_bn", "swin", "reads 16 numbers, the backbone has 4 there"),
        ("heads/linear.npz", "swin", "the head reads 16 features, swin gives 32"),
    ] {
        let world = World::new(backbone);
        let error = world.error(&world.request(&outside().join(pack)));
        assert!(error.contains(words), "{pack} on {backbone}: {error}");
    }
}

/// An archive as NumPy writes it.
fn npz(path: &Path, arrays: &[(&str, &str, &[u8])]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, header, data) in arrays {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        let length = (header.len() as u16).to_le_bytes();
        archive.write_all(&[b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn odd_arrays_are_refused() {
    let world = World::new("vit");
    let path = world.dir.path().join("head.npz");
    let cases: [(&str, &str, &[u8], &str); 6] = [
        (
            "weight",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
            b"cos\nsystem\n",
            "holds objects, whose form is a pickle",
        ),
        (
            "weight",
            "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
            &[0; 8],
            "type <c8, which are not read",
        ),
        (
            "weight",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
            b"",
            "is no array of NumPy",
        ),
        (
            "weight",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 16), }",
            &[0; 8],
            "has 8 bytes of numbers",
        ),
        (
            "weight",
            "{'descr': '<U9999', 'fortran_order': False, 'shape': (0,), }",
            b"",
            "more than is allowed",
        ),
        (
            "scale",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
            &[0; 4],
            "has neither a weight nor coef_",
        ),
    ];
    for (name, header, data, words) in cases {
        npz(&path, &[(name, header, data)]);
        let error = world.error(&world.request(&path));
        assert!(error.contains(words), "{header}: {error}");
    }
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    assert!(world.error(&world.request(&path)).contains("head.npz"));
    // Column by column it is the same head.
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let rows: Vec<f32> = (0..32).map(|i| i as f32).collect();
    let columns: Vec<f32> = (0..32).map(|i| (i % 2 * 16 + i / 2) as f32).collect();
    let mut packs = Vec::new();
    for (order, values) in [("False", rows), ("True", columns)] {
        let header = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': (2, 16), }}");
        npz(&path, &[("weight", &header, &floats(&values))]);
        let report = world.import(&world.request(&path)).unwrap();
        packs.push(world.read(&report).head);
    }
    assert_eq!(packs[0], packs[1]);
}

/// Bytes of a file changed or cut away: an error without a pack, or other numbers.
fn damage(pack: &str, file: &str, cases: u32) {
    let copy = Copy::of(pack);
    let whole = std::fs::read(copy.folder.join(file)).unwrap();
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6);
    let strategy = (changes, any::<proptest::sample::Index>(), any::<bool>());
    proptest!(ProptestConfig::with_cases(cases), |((changes, end, is_cut) in strategy)| {
        let mut bytes = whole.clone();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if is_cut {
            bytes.truncate(end.index(whole.len()));
        }
        std::fs::write(copy.folder.join(file), bytes).unwrap();
        let request = copy.world.request(&copy.folder);
        let result = copy.world.import(&request);
        prop_assert_eq!(result.is_ok(), request.adapters.exists());
        let _ = std::fs::remove_dir_all(&request.adapters);
    });
}

#[test]
fn damaged_packs_are_errors_or_other_numbers() {
    for (pack, file) in [
        ("peft_vit_patterns", CONFIG),
        ("peft_vit_head", WEIGHTS),
        ("peft_vit_head", CONFIG),
        ("peft_vit_vera", WEIGHTS),
        ("adapterhub_compacter", "pytorch_adapter.bin"),
        ("adapterhub_adapter_plus", CONFIG),
        ("adapterhub_adapter_plus", "head_config.json"),
        ("adapterhub_leave_out", "adapter.safetensors"),
    ] {
        damage(pack, file, 40);
    }
}

#[test]
fn damaged_arrays_are_errors_or_other_numbers() {
    let world = World::new("vit");
    let whole = std::fs::read(outside().join("heads/sklearn.npz")).unwrap();
    let path = world.dir.path().join("head.npz");
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6);
    proptest!(ProptestConfig::with_cases(150), |(changes in changes)| {
        let mut bytes = whole.clone();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        std::fs::write(&path, bytes).unwrap();
        let request = world.request(&path);
        let result = world.import(&request);
        prop_assert_eq!(result.is_ok(), request.adapters.exists());
        let _ = std::fs::remove_dir_all(&request.adapters);
    });
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: vec![1.0; shape.iter().product()] }
}
