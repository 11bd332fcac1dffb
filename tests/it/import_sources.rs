//! What a checkpoint and the files beside it tell is read, shown, and must agree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mimi_server::backbone::{Activation, Architecture, BackboneConfig, Origin, VitConfig};
use mimi_server::import::backbone::{Error, PreprocessingName, Request, import};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::import::{Checkpoint, assert_names};
use crate::support::{Fixture, Tensor, fixtures, write_safetensors};

fn vit(config: &BackboneConfig) -> &VitConfig {
    let Architecture::Vit(vit) = &config.architecture else { panic!("{:?}", config.architecture) };
    vit
}

/// Nothing told: what there is must be read.
fn untold(checkpoint: &Checkpoint) -> Result<BackboneConfig, Error> {
    checkpoint.import(&Request { heads: None, activation: None, preprocessing: None, ..checkpoint.request() })
}

const TIMM: &str = r#"{"architecture": "vit_tiny_patch16_224", "num_features": 48, "global_pool": "token",
    "model_args": {"num_heads": 6, "img_size": 32, "embed_dim": 48, "depth": 3, "patch_size": 8, "mlp_ratio": 2,
                   "act_layer": "gelu_tanh"},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
                       "crop_pct": 0.9, "interpolation": "bicubic"}}"#;

#[test]
fn f3_heads_and_activation_that_timms_config_tells_are_taken() {
    let config = untold(&Checkpoint::of("vit_timm").beside("config.json", TIMM)).unwrap();
    assert_eq!((vit(&config).heads, vit(&config).activation), (6, Activation::GeluTanh));
    // The architecture's own, where its arguments do not tell.
    let told = TIMM.replace(r#""num_heads": 6, "#, "").replace(r#""mlp_ratio": 2,"#, r#""mlp_ratio": 2"#);
    let told = told.replace(r#""act_layer": "gelu_tanh""#, "");
    let config = untold(&Checkpoint::of("vit_timm").beside("config.json", &told)).unwrap();
    assert_eq!((vit(&config).heads, vit(&config).activation), (3, Activation::Gelu));
    assert_eq!(vit(&config).layer_norm_eps, 1e-6);
}

#[test]
fn f3_an_option_that_contradicts_a_file_is_an_error_that_names_both() {
    let checkpoint = Checkpoint::of("vit_timm").beside("config.json", TIMM);
    let heads = Request { heads: Some(3), activation: None, ..checkpoint.request() };
    let error = checkpoint.import(&heads).unwrap_err().to_string();
    assert_names(&error, &["heads", "--heads says 3", "config.json: model_args.num_heads says 6"]);
    let activation = Request { heads: None, activation: Some(Activation::Gelu), ..checkpoint.request() };
    let error = checkpoint.import(&activation).unwrap_err().to_string();
    assert_names(&error, &["--activation says gelu", "act_layer says gelu_tanh"]);
}

#[test]
fn f3_hugging_faces_config_must_be_what_the_tensors_show() {
    let wrong = [
        (r#"{"hidden_size": 64}"#, "hidden_size says 64"),
        (r#"{"intermediate_size": 192}"#, "intermediate_size says 192"),
        (r#"{"patch_size": 16}"#, "patch_size says 16"),
        (r#"{"image_size": 224}"#, "image_size says 224"),
        (r#"{"num_hidden_layers": 12}"#, "num_hidden_layers says 12"),
        (r#"{"qkv_bias": false}"#, "qkv_bias says false"),
        (r#"{"num_register_tokens": 4}"#, "num_register_tokens says 4"),
    ];
    for (json, says) in wrong {
        assert_names(&Checkpoint::of("vit_hf").beside("config.json", json).error(), &[says, "shape of"][..1]);
    }
    let both = r#"{"model_type": "vit", "num_attention_heads": 6, "hidden_act": "quick_gelu"}"#;
    let checkpoint = Checkpoint::of("vit_hf").beside("config.json", both);
    let request = Request { heads: None, activation: None, ..checkpoint.request() };
    let config = checkpoint.import(&request).unwrap();
    assert_eq!((vit(&config).heads, vit(&config).activation), (6, Activation::QuickGelu));
    // Each library's config beside the other's tensors is another model's.
    let other = Checkpoint::of("vit_timm").beside("config.json", both).error();
    assert_names(&other, &["Hugging Face", "timm"]);
    assert_names(&Checkpoint::of("vit_hf").beside("config.json", TIMM).error(), &["Hugging Face", "timm"]);
}

#[test]
fn f3_two_files_that_prepare_images_differently_are_an_error() {
    let clip = r#"{"size": {"shortest_edge": 32}, "crop_size": 32, "do_center_crop": true, "resample": 3,
        "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}"#;
    let checkpoint = Checkpoint::of("vit_timm").beside("config.json", TIMM);
    let error = untold(&checkpoint.beside("preprocessor_config.json", clip)).unwrap_err().to_string();
    assert_names(&error, &["preprocessor_config.json says", "pretrained_cfg", "0.1", "0.5"]);
}

#[test]
fn f3_what_was_taken_is_written_down_with_where_it_came_from() {
    let checkpoint = Checkpoint::of("vit_timm").beside("config.json", TIMM);
    let written = untold(&checkpoint).unwrap();
    let read = BackboneConfig::read(&checkpoint.dir.path().join("models/backbone")).unwrap();
    assert_eq!(read, written);
    let line = |what: &str| read.provenance.taken.iter().find(|line| line.what == what).unwrap();
    assert_eq!((line("heads").value.as_str(), line("heads").origin), ("6", Origin::Config));
    assert!(line("heads").from.contains("model_args.num_heads"), "{:?}", line("heads"));
    assert_eq!(line("depth").origin, Origin::Shape);
    for what in ["weights", "width", "pool", "activation", "layer_norm_eps", "image_size", "preprocessing"] {
        assert!(!line(what).value.is_empty(), "{what}");
    }
    // Nothing beside it: what is guessed says so.
    let bare = Checkpoint::of("vit_timm");
    let config = bare.import(&Request { activation: None, ..bare.request() }).unwrap();
    let guessed = |what: &str| {
        config.provenance.taken.iter().any(|line| line.what == what && line.origin == Origin::Guess)
    };
    assert!(guessed("activation") && guessed("layer_norm_eps") && guessed("pool"));
}

#[test]
fn f3_the_command_prints_the_table() {
    let print = |file: &str| {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_server"))
            .args([
                "import-backbone",
                "--name",
                "tiny",
                "--heads",
                "4",
                "--preprocessing",
                "half",
                "--weights",
            ])
            .arg(fixtures().join("checkpoints").join(file))
            .arg("--models")
            .arg(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let told = print("timm_train.pth.tar");
    assert_names(
        &told,
        &["state_dict_ema", "also there: state_dict", "model_args.num_heads", "--preprocessing"],
    );
    assert!(!told.contains("GUESSED"), "{told}");
    assert_names(&print("plain.pth"), &["activation", "GUESSED", "left out: head.weight"]);
}

#[test]
fn f12_rectangular_inputs_and_patches_are_refused_by_name() {
    let rect = |from: &str, to: &str| {
        untold(&Checkpoint::of("vit_timm").beside("config.json", &TIMM.replace(from, to))).unwrap_err()
    };
    let error = rect(r#""img_size": 32"#, r#""img_size": [16, 64]"#).to_string();
    assert_names(&error, &["16x64", "rectangular"]);
    let config = r#"{"architecture": "vit_base_patch16_224", "pretrained_cfg": {"input_size": [3, 16, 64]}}"#;
    let error = untold(&Checkpoint::of("vit_timm").beside("config.json", config)).unwrap_err().to_string();
    assert_names(&error, &["16x64", "rectangular", "pretrained_cfg.input_size"]);
    let hf = Checkpoint::of("vit_hf").beside("config.json", r#"{"image_size": [16, 64]}"#).error();
    assert_names(&hf, &["16x64", "rectangular"]);
    let preprocessor = r#"{"size": {"height": 16, "width": 64}, "resample": 3, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#;
    let checkpoint = Checkpoint::of("vit_hf").beside("preprocessor_config.json", preprocessor);
    let error = checkpoint.import(&Request { preprocessing: None, ..checkpoint.request() }).unwrap_err();
    assert_names(&error.to_string(), &["height: 16", "width: 64"]);
    let patch = Checkpoint::of("vit_timm").with("patch_embed.proj.weight", &[48, 3, 8, 16]).error();
    assert_names(&patch, &["rectangular", "8x16"]);
    let table = Checkpoint::of("vit_timm").with("pos_embed", &[1, 1 + 8 * 4, 48]).error();
    assert_names(&table, &["33 rows", "rectangular"]);
}

#[test]
fn f12_a_position_table_that_fits_two_grids_needs_the_size() {
    // 9 rows: 3 by 3 without, 2 by 2 with rows for the class token and 4 registers.
    let two = || Checkpoint::of("vit_timm_dinov2_registers").with("pos_embed", &[1, 9, 48]);
    assert_names(&two().error(), &["[24, 16]", "--image-size"]);
    let checkpoint = two();
    let asked = Request { image_size: Some(16), ..checkpoint.request() };
    assert_eq!(checkpoint.import(&asked).unwrap().image_size(), 16);
}

/// The fingerprint of a checkpoint's weights, and the line of the table with that name.
fn imported(file: &str, key: Option<&str>) -> Result<BackboneConfig, Error> {
    let dir = tempfile::tempdir().unwrap();
    import(&Request {
        weights: fixtures().join("checkpoints").join(file),
        key: key.map(str::to_owned),
        name: "backbone".into(),
        out: dir.path().to_owned(),
        heads: Some(4),
        preprocessing: Some(PreprocessingName::Half),
        ..Request::default()
    })
}

fn line(config: &BackboneConfig, what: &str) -> String {
    let found = config.provenance.taken.iter().find(|line| line.what == what);
    found.map(|line| format!("{} {}", line.value, line.from)).unwrap_or_default()
}

#[test]
fn f4_every_trainers_checkpoint_gives_the_weights_its_own_loader_takes() {
    let plain = imported("plain.pth", None).unwrap().fingerprint;
    let files = [
        ("timm_train.pth.tar", "dictionary", "state_dict_ema"),
        ("deit_model_ema.pth", "dictionary", "model_ema"),
        ("ema_none.pth", "dictionary", "state_dict"),
        ("dino.pth", "dictionary", "teacher"),
        ("dinov2_teacher.pth", "prefix", "backbone."),
        ("lightning.ckpt", "prefix", "model."),
        ("lightning_ema.ckpt", "prefix", "model_ema.module."),
    ];
    for (file, what, says) in files {
        let config = imported(file, None).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(config.fingerprint, plain, "{file}");
        assert!(line(&config, what).starts_with(says), "{file}: {}", line(&config, what));
    }
    let both = imported("timm_train.pth.tar", None).unwrap();
    assert_names(&line(&both, "dictionary"), &["also there: state_dict"]);
    let lightning = imported("lightning.ckpt", None).unwrap();
    assert_names(&lightning.provenance.left_out.join(" "), &["criterion.weight", "metric.total"]);
}

#[test]
fn f4_a_key_chooses() {
    let plain = imported("plain.pth", None).unwrap().fingerprint;
    for (file, key, right) in [
        ("timm_train.pth.tar", "state_dict_ema", true),
        ("timm_train.pth.tar", "state_dict", false),
        ("dino.pth", "student", false),
        ("dino.pth", "student.module.backbone", false),
        ("dino.pth", "teacher.backbone", true),
        ("lightning_ema.ckpt", "model", false),
        ("lightning_ema.ckpt", "model_ema", true),
        ("two_models.pth", "generator", true),
        ("two_models.pth", "critic", false),
        ("two_towers.pth", "left", true),
        ("two_towers.pth", "right", false),
    ] {
        let config = imported(file, Some(key)).unwrap_or_else(|error| panic!("{file} {key}: {error}"));
        assert_eq!(config.fingerprint == plain, right, "{file} {key}");
    }
    let error = imported("timm_train.pth.tar", Some("nothing")).unwrap_err().to_string();
    assert_names(&error, &["nothing", "state_dict"]);
}

#[test]
fn f4_what_might_be_either_is_an_error() {
    assert_names(
        &imported("two_models.pth", None).unwrap_err().to_string(),
        &["critic", "generator", "--key"],
    );
    assert_names(&imported("two_towers.pth", None).unwrap_err().to_string(), &["left.", "right.", "--key"]);
    let whole = imported("module.pth", None).unwrap_err().to_string();
    assert_names(&whole, &["VisionTransformer", "whole model", "state_dict()"]);
}

#[test]
fn f4_what_timms_training_says_beside_the_weights_is_read() {
    let config = imported("timm_train.pth.tar", None).unwrap();
    assert_names(&line(&config, "heads"), &["4", "checkpoint: model_args.num_heads"]);
    assert_names(&line(&config, "architecture"), &["vit_tiny_patch16_224", "checkpoint"]);
    assert_names(&line(&config, "pool"), &["cls", "global_pool"]);
}

#[test]
fn f11_weights_that_are_not_finite_are_refused_by_name() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut checkpoint = Checkpoint::of("vit_timm");
        checkpoint.tensors.get_mut("blocks.1.attn.qkv.weight").unwrap().data[50] = bad;
        checkpoint.tensors.get_mut("norm.bias").unwrap().data[7] = bad;
        let error = checkpoint.error();
        assert_names(&error, &["2 tensor(s)", "blocks.1.attn.qkv.weight has 1 of 6912", "[1, 2]"]);
        assert_names(&error, &["norm.bias has 1 of 48", "[7]", &bad.to_string()]);
    }
    // A classifier is left out, whatever it holds.
    let mut checkpoint = Checkpoint::of("vit_timm");
    checkpoint.tensors.get_mut("head.weight").unwrap().data[0] = f32::NAN;
    checkpoint.import(&checkpoint.request()).unwrap();
    // A double that single precision cannot hold.
    let mut checkpoint = Checkpoint::of("vit_hf");
    let key = "encoder.layer.0.attention.attention.key.weight";
    checkpoint.tensors.get_mut(key).unwrap().data[0] = f32::NAN;
    assert_names(&checkpoint.error(), &[key, "[0, 0]"]);
}

/// The fixture's tensors as a file of another element type.
fn as_type(tensors: &BTreeMap<String, Tensor>, dtype: Dtype) -> Vec<u8> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, t)| (name, t.data.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, t)| (name, TensorView::new(dtype, t.shape.clone(), &bytes[name]).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn f19_double_precision_safetensors_are_read() {
    let checkpoint = Checkpoint::of("vit_timm");
    let plain = checkpoint.import(&checkpoint.request()).unwrap();
    let request = Request { name: "double".into(), ..checkpoint.request() };
    fs::write(&request.weights, as_type(&checkpoint.tensors, Dtype::F64)).unwrap();
    assert_eq!(import(&request).unwrap().fingerprint, plain.fingerprint);
}

#[test]
fn f19_content_decides_and_not_the_suffix() {
    let checkpoint = Checkpoint::of("vit_timm");
    let plain = checkpoint.import(&checkpoint.request()).unwrap();
    for (i, name) in ["model.ckpt", "model.bin", "model.pth.tar", "weights"].into_iter().enumerate() {
        let weights = checkpoint.dir.path().join(name);
        fs::copy(checkpoint.request().weights, &weights).unwrap();
        let request = Request { weights, name: format!("copy{i}"), ..checkpoint.request() };
        assert_eq!(import(&request).unwrap().fingerprint, plain.fingerprint, "{name}");
    }
    let known: [(&[u8], &str); 6] = [
        (b"\x89HDF\r\n\x1a\n....", "HDF5"),
        (b"GGUF....", "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x1f\x8b\x08....", "gzip"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04 pos_embed.npy", "NumPy"),
    ];
    for (bytes, what) in known {
        let weights = checkpoint.dir.path().join("other.pth");
        fs::write(&weights, bytes).unwrap();
        let error = import(&Request { weights, name: "x".into(), ..checkpoint.request() }).unwrap_err();
        assert_names(&error.to_string(), &[what]);
    }
}

/// Weights in two files, and their index.
fn sharded(checkpoint: &Checkpoint, change: impl Fn(&mut serde_json::Value)) -> PathBuf {
    let dir = checkpoint.dir.path();
    let half = checkpoint.tensors.len() / 2;
    let mut map = serde_json::Map::new();
    for (i, part) in [(0, half), (half, checkpoint.tensors.len())].into_iter().enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", i + 1);
        let tensors: BTreeMap<String, Tensor> =
            checkpoint.tensors.clone().into_iter().skip(part.0).take(part.1 - part.0).collect();
        map.extend(tensors.keys().map(|name| (name.clone(), file.clone().into())));
        write_safetensors(&dir.join(file), &tensors);
    }
    let mut index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    change(&mut index);
    let path = dir.join("model.safetensors.index.json");
    fs::write(&path, index.to_string()).unwrap();
    path
}

#[test]
fn f19_weights_in_several_files_are_read_by_their_index() {
    let checkpoint = Checkpoint::of("vit_timm");
    let plain = checkpoint.import(&checkpoint.request()).unwrap();
    let by = |weights: PathBuf| import(&Request { weights, overwrite: true, ..checkpoint.request() });
    let config = by(sharded(&checkpoint, |_| {})).unwrap();
    assert_eq!(config.fingerprint, plain.fingerprint);
    assert_ne!(config.provenance.sha256, plain.provenance.sha256);
    assert_eq!(config.provenance.taken.iter().filter(|line| line.what == "weights, in part").count(), 2);

    let refused =
        |change: fn(&mut serde_json::Value)| by(sharded(&checkpoint, change)).unwrap_err().to_string();
    let (norm, second) = ("norm.bias", "model-00002-of-00002.safetensors");
    let error = refused(|index| index["weight_map"]["norm.bias"] = "../secret.safetensors".into());
    assert_names(&error, &["../secret.safetensors", "beside"]);
    let error = refused(|index| index["weight_map"]["norm.bias"] = "model-00001-of-00002.safetensors".into());
    assert_names(&error, &[norm, second]);
    let error =
        refused(|index| index["weight_map"]["extra.weight"] = "model-00001-of-00002.safetensors".into());
    assert_names(&error, &["extra.weight"]);
    let error = refused(|index| drop(index["weight_map"].as_object_mut().unwrap().remove("norm.bias")));
    assert_names(&error, &[norm, "does not name"]);
    let index = sharded(&checkpoint, |_| {});
    fs::remove_file(checkpoint.dir.path().join(second)).unwrap();
    assert_names(&by(index).unwrap_err().to_string(), &[second]);
    // One part alone says what it is.
    let part = checkpoint.dir.path().join("model-00001-of-00002.safetensors");
    assert_names(&by(part).unwrap_err().to_string(), &["one of several files", "index.json"]);
}

#[test]
fn f19_a_byte_order_mark_is_passed_over() {
    let with_mark = |json: &str| format!("\u{feff}{json}");
    let checkpoint = Checkpoint::of("vit_timm").beside("config.json", &with_mark(TIMM));
    assert_eq!(vit(&untold(&checkpoint).unwrap()).heads, 6);
    let checkpoint = Checkpoint::of("vit_timm");
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("{}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    fs::write(checkpoint.dir.path().join("config.json"), utf16).unwrap();
    assert_names(&checkpoint.error(), &["config.json", "UTF-16"]);
}

#[test]
fn f19_dinov2s_own_names_of_its_registers_are_read() {
    // Compared with timm's features in `f7_every_combination_equals_its_library_or_is_refused_by_name`.
    let fixture = Fixture::named("vit_grid");
    let keys = fixture.json("cases")["dinov2-own"]["weights"].to_string();
    assert_names(&keys, &["register_tokens@1x2x16", "mask_token@"]);
}

/// A checkpoint of another family: its most telling names.
fn family(names: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("model.safetensors");
    let tensor = || Tensor { shape: vec![2, 2], data: vec![0.5; 4] };
    write_safetensors(&weights, &names.iter().map(|name| ((*name).to_owned(), tensor())).collect());
    refused(&weights, dir.path())
}

fn refused(weights: &Path, out: &Path) -> String {
    let request =
        Request { weights: weights.into(), name: "x".into(), out: out.into(), ..Request::default() };
    import(&request).unwrap_err().to_string()
}

#[test]
fn f7_unsupported_families_are_named() {
    let families: [(&str, &[&str]); 18] = [
        ("SwinV2", &["patch_embed.proj.weight", "layers.0.blocks.0.attn.cpb_mlp.0.weight"]),
        (
            "SwinV2",
            &["swinv2.encoder.layers.0.blocks.0.attention.self.continuous_position_bias_mlp.0.weight"],
        ),
        ("BEiT", &["module.patch_embed.proj.weight", "module.blocks.0.attn.relative_position_bias_table"]),
        ("EVA02", &["patch_embed.proj.weight", "blocks.0.mlp.fc1_g.weight"]),
        ("DINOv3", &["patch_embed.proj.weight", "storage_tokens"]),
        (
            "DINOv3",
            &[
                "embeddings.patch_embeddings.weight",
                "layer.0.attention.q_proj.weight",
                "layer.0.layer_scale1.lambda1",
            ],
        ),
        ("MAE", &["patch_embed.proj.weight", "decoder_blocks.0.norm1.weight"]),
        ("MAE", &["vit.embeddings.patch_embeddings.projection.weight", "decoder.decoder_layers.0.x"]),
        ("ConvNeXt", &["stages.0.blocks.0.conv_dw.weight"]),
        ("DaViT", &["stages.0.blocks.0.0.cpe1.proj.weight"]),
        ("MaxViT", &["stages.0.blocks.0.attn_grid.norm1.weight"]),
        ("PVT", &["patch_embed1.proj.weight", "block1.0.attn.sr.weight"]),
        ("Hiera", &["pos_embed_win", "patch_embed.proj.weight"]),
        ("ResNet", &["conv1.weight", "layer1.0.conv1.weight"]),
        ("SAM", &["image_encoder.patch_embed.proj.weight", "mask_decoder.iou_token.weight"]),
        ("OpenAI", &["visual.class_embedding", "visual.conv1.weight"]),
        ("SwiGLU", &["patch_embed.proj.weight", "blocks.0.mlp.w12.weight"]),
        ("LoRA", &["base_model.model.vit.encoder.layer.0.attention.attention.query.lora_A.weight"]),
    ];
    for (name, tensors) in families {
        let error = family(tensors);
        assert_names(&error, &[name, "not supported", "supported: ViT"]);
    }
    let kinds =
        ["swinv2", "beit", "dinov3_vit", "vit_mae", "convnext", "resnet", "hiera", "pvt", "ijepa", "vit_msn"];
    for kind in kinds {
        let config = format!(r#"{{"model_type": "{kind}"}}"#);
        let error = Checkpoint::of("vit_hf").beside("config.json", &config).error();
        assert_names(&error, &["not supported", kind]);
    }
}
