//! The corpora of `fuzz/`, through the functions that fuzzing runs; and how to make the seeds among them again.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use mimi_server::backbone::{BackboneConfig, Module, Place, Precision, Site};
use mimi_server::graph::onnx::{GraphProto, ModelProto, TensorProto, data_type};
use mimi_server::image::Preprocessing;
use mimi_server::import::backbone::{PreprocessingName, Request, import};
use mimi_server::pack::{self, Contents, Decision, Provenance, SelfTest, Weights};
use prost::Message;

use crate::support::{Random, Tensor, fixtures, repository, write_safetensors};

fn corpus(name: &str) -> PathBuf {
    repository().join("fuzz/corpus").join(name)
}

/// Every file of a folder, sorted.
fn inputs(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Runs a target over its corpus and over what comes of each input by cutting it.
fn run(name: &str, target: fn(&[u8])) {
    for (path, bytes) in inputs(&corpus(name)) {
        println!("{}", path.display());
        for end in [bytes.len(), bytes.len() / 2, bytes.len().saturating_sub(1), 1] {
            target(&bytes[..end.min(bytes.len())]);
        }
    }
}

#[test]
fn the_corpus_of_images_passes() {
    run("image", targets::image);
    inputs(&fixtures().join("images")).iter().for_each(|(_, bytes)| targets::image(bytes));
}

#[test]
fn the_corpus_of_packs_passes() {
    run("pack", targets::pack);
}

#[test]
fn the_corpus_of_checkpoints_passes() {
    run("checkpoint", targets::checkpoint);
}

#[test]
fn the_corpus_of_lists_passes() {
    run("list", targets::list);
}

#[test]
fn the_corpus_of_bodies_passes() {
    run("body", targets::body);
}

#[test]
fn seeds_reach_what_they_are_for() {
    // A pack, a checkpoint of each kind, and a body of each kind are taken: fuzzing begins beyond the first check.
    let config: BackboneConfig = serde_json::from_str(targets::BACKBONE).unwrap();
    let bytes = std::fs::read(corpus("pack").join("seed")).unwrap();
    let cut = bytes.iter().position(|&byte| byte == 0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(pack::CONFIG_FILE), &bytes[..cut]).unwrap();
    std::fs::write(dir.path().join(pack::WEIGHTS_FILE), &bytes[cut + 1..]).unwrap();
    pack::read(dir.path(), &config).unwrap();
    for (name, ending) in
        [("safetensors", "safetensors"), ("torch-zip", "pth"), ("torch-legacy", "pth"), ("onnx", "onnx")]
    {
        let bytes = std::fs::read(corpus("checkpoint").join(format!("seed-{name}"))).unwrap();
        let weights = dir.path().join(format!("model.{ending}"));
        std::fs::write(&weights, &bytes[1..]).unwrap();
        import(&request(weights, dir.path(), name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn request(weights: PathBuf, out: &Path, name: &str) -> Request {
    let preprocessing = Some(PreprocessingName::Clip);
    let (out, name) = (out.to_owned(), name.to_owned());
    Request { weights, name, out, heads: Some(2), preprocessing, ..Request::default() }
}

/// Writes the seeds. Only for when a format changes: `cargo test --test it -- --ignored make_the_seeds_anew`.
#[test]
#[ignore = "writes into fuzz/"]
fn make_the_seeds_anew() {
    let dir = tempfile::tempdir().unwrap();
    let put = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus(target)).unwrap();
        std::fs::write(corpus(target).join(name), bytes).unwrap();
    };
    let tensors = timm();
    let weights = dir.path().join("model.safetensors");
    write_safetensors(&weights, &tensors);
    let bytes = std::fs::read(&weights).unwrap();
    let config = import(&request(weights, dir.path(), "tiny")).unwrap();
    let text = std::fs::read(dir.path().join("tiny/config.json")).unwrap();
    std::fs::write(repository().join("fuzz/backbone.json"), text).unwrap();
    put("checkpoint", "seed-safetensors", &[&[0], &bytes[..]].concat());
    put("checkpoint", "seed-torch-zip", &[&[1], &zipped(&tensors)[..]].concat());
    put("checkpoint", "seed-torch-legacy", &[&[1], &legacy(&tensors)[..]].concat());
    put("checkpoint", "seed-onnx", &[&[2], &onnx(&hugging_face())[..]].concat());
    let folder = pack::write(&dir.path().join("task"), &contents(&config), &config).unwrap();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    put("pack", "seed", &[&read(pack::CONFIG_FILE)[..], &[0], &read(pack::WEIGHTS_FILE)].concat());
    put("image", "seed", &std::fs::read(fixtures().join("images/one_bit.png")).unwrap());
    for (number, list) in LISTS.iter().enumerate() {
        put("list", &format!("seed-{number}"), list.as_bytes());
    }
    let utf16: Vec<u8> = LISTS[0].encode_utf16().flat_map(u16::to_le_bytes).collect();
    put("list", "seed-utf16", &[&[0xFF, 0xFE], &utf16[..]].concat());
    for (number, body) in BODIES.iter().enumerate() {
        put("body", &format!("seed-{number}"), body.as_bytes());
    }
}

const LISTS: [&str; 3] = [
    "path,label\na.png,x\nb.png,y\n",
    "\u{FEFF}\"File Name\";Class;Split\r\n\"a;b.png\";\"x \"\"y\"\"\";training\r\nsub\\b.png;z;VAL\r\n",
    "image\ttarget\tid\n/data/a.png\tx\t1\n",
];

const BODIES: [&str; 4] = [
    "application/json\n{\"image\": \"data:image/png;base64,iVBORw0KGgo=\", \"top_k\": 3}",
    "application/json; charset=utf-8\n{\"images\": [\"AAAA\", \"/+==\"], \"tasks\": [\"a\", \"b\"]}",
    "multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\
     Content-Type: image/png\r\n\r\n\u{1}PNG\r\n--x\r\nContent-Disposition: form-data; name=\"tasks\"\r\n\r\na,b\r\n\
     --x\r\nContent-Disposition: form-data; name=\"top_k\"\r\n\r\n2\r\n--x--\r\n",
    "image/png\n\u{1}PNG",
];

/// A ViT of one block, width 8, two patches a side, under timm's names.
fn timm() -> BTreeMap<String, Tensor> {
    let mut tensors = shapes(&[
        ("cls_token", &[1, 1, 8]),
        ("pos_embed", &[1, 5, 8]),
        ("patch_embed.proj.weight", &[8, 3, 4, 4]),
        ("patch_embed.proj.bias", &[8]),
        ("blocks.0.attn.qkv.weight", &[24, 8]),
        ("blocks.0.attn.qkv.bias", &[24]),
        ("blocks.0.attn.proj.weight", &[8, 8]),
        ("blocks.0.attn.proj.bias", &[8]),
        ("blocks.0.mlp.fc1.weight", &[16, 8]),
        ("blocks.0.mlp.fc1.bias", &[16]),
        ("blocks.0.mlp.fc2.weight", &[8, 16]),
        ("blocks.0.mlp.fc2.bias", &[8]),
    ]);
    for norm in ["norm", "blocks.0.norm1", "blocks.0.norm2"] {
        tensors.extend(shapes(&[(&format!("{norm}.weight"), &[8]), (&format!("{norm}.bias"), &[8])]));
    }
    tensors
}

/// The same form under the names that exporters of CLIP's vision tower leave.
fn hugging_face() -> BTreeMap<String, Tensor> {
    let mut tensors = shapes(&[
        ("embeddings.class_embedding", &[8]),
        ("embeddings.patch_embedding.weight", &[8, 3, 4, 4]),
        ("embeddings.position_embedding.weight", &[5, 8]),
        ("encoder.layers.0.mlp.fc1.weight", &[16, 8]),
        ("encoder.layers.0.mlp.fc1.bias", &[16]),
        ("encoder.layers.0.mlp.fc2.weight", &[8, 16]),
        ("encoder.layers.0.mlp.fc2.bias", &[8]),
    ]);
    for matrix in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        let name = format!("encoder.layers.0.self_attn.{matrix}");
        tensors.extend(shapes(&[(&format!("{name}.weight"), &[8, 8]), (&format!("{name}.bias"), &[8])]));
    }
    for norm in
        ["pre_layrnorm", "post_layernorm", "encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2"]
    {
        tensors.extend(shapes(&[(&format!("{norm}.weight"), &[8]), (&format!("{norm}.bias"), &[8])]));
    }
    tensors.into_iter().map(|(name, tensor)| (format!("vision_model.{name}"), tensor)).collect()
}

fn shapes(of: &[(&str, &[usize])]) -> BTreeMap<String, Tensor> {
    let tensor = |(name, shape): &(&str, &[usize])| {
        let data = Random::new(name.len() as u64).floats(shape.iter().product(), 0.1);
        ((*name).to_owned(), Tensor { shape: shape.to_vec(), data })
    };
    of.iter().map(tensor).collect()
}

fn contents(config: &BackboneConfig) -> Contents {
    let mut random = Random::new(1);
    let sites = [(Site::new(0, Place::Attn), 2), (Site::new(0, Place::Mlp), 1)];
    let weights = sites.map(|(site, r)| {
        let (down, up) = (random.floats(8 * r, 0.2), random.floats(8 * r, 0.2));
        (Module::adapter(site), Weights::adapter(r, &down, &up))
    });
    Contents {
        weights: weights.into_iter().collect(),
        factored: None,
        small: Default::default(),
        depths: Vec::new(),
        head_weight: random.floats(3 * 8, 0.3),
        head_bias: random.floats(3, 0.3),
        labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
        decision: Decision::default(),
        preprocessing: Preprocessing::clip(config.image_size() as u32),
        precision: Precision::Fp32,
        self_test: SelfTest { images: vec![vec![1, 2, 3]], logits: vec![vec![0.5; 3]] },
        tolerance: 1e-3,
        provenance: Provenance::default(),
    }
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The pickle of a dictionary of tensors, whose storages are called by their names.
fn pickle(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |n: usize| [&b"J"[..], &(n as u32).to_le_bytes()].concat();
    let numbers = |all: &[usize]| {
        [b"(".to_vec(), all.iter().flat_map(|&n| number(n)).collect(), b"t".to_vec()].concat()
    };
    let mut out = b"\x80\x02}".to_vec();
    for (name, tensor) in tensors {
        let strides: Vec<usize> =
            (0..tensor.shape.len()).map(|at| tensor.shape[at + 1..].iter().product()).collect();
        out.extend([text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec()].concat());
        out.extend([b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(name)].concat());
        out.extend([text("cpu"), number(tensor.data.len()), b"tQ".to_vec(), number(0)].concat());
        out.extend([numbers(&tensor.shape), numbers(&strides), b"\x89}tRs".to_vec()].concat());
    }
    out.push(b'.');
    out
}

/// As `torch.save` writes since PyTorch 1.6.
fn zipped(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut entry = |name: String, bytes: &[u8]| {
        zip.start_file(name, plain).unwrap();
        zip.write_all(bytes).unwrap();
    };
    entry("model/data.pkl".into(), &pickle(tensors));
    tensors.iter().for_each(|(name, tensor)| entry(format!("model/data/{name}"), &bytes(tensor)));
    zip.finish().unwrap().into_inner()
}

/// As it wrote before.
fn legacy(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let mut out =
        [magic, &b"\x80\x02M\xe9\x03."[..], b"\x80\x02}.", &pickle(tensors), b"\x80\x02]("].concat();
    for name in tensors.keys() {
        out.extend([&b"X"[..], &(name.len() as u32).to_le_bytes(), name.as_bytes()].concat());
    }
    out.extend(b"e.");
    for tensor in tensors.values() {
        out.extend((tensor.data.len() as u64).to_le_bytes());
        out.extend(bytes(tensor));
    }
    out
}

/// A graph that holds nothing but its tensors.
fn onnx(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let initializer = tensors.iter().map(|(name, tensor)| TensorProto {
        name: name.clone(),
        dims: tensor.shape.iter().map(|&n| n as i64).collect(),
        data_type: data_type::FLOAT,
        raw_data: bytes(tensor),
        ..TensorProto::default()
    });
    let graph = GraphProto { initializer: initializer.collect(), ..GraphProto::default() };
    ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}
