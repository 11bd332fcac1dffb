//! Checkpoints become backbones, or say what is wrong with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mimi_server::backbone::{
    Activation, Architecture, BackboneConfig, Error as BackboneError, Pool, VitConfig,
};
use mimi_server::image::{Interpolation, Preprocessing, ResizeMode};
use mimi_server::import::backbone::{Error, PreprocessingName, Request, import};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use crate::support::{Fixture, Tensor, write_safetensors};

/// A checkpoint in a folder of its own, to be spoilt.
pub struct Checkpoint {
    pub dir: TempDir,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    pub fn of(fixture: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), tensors: Fixture::named(fixture).under("weights/") }
    }

    pub fn without(mut self, name: &str) -> Self {
        self.tensors.remove(name).unwrap();
        self
    }

    pub fn with(mut self, name: &str, shape: &[usize]) -> Self {
        let tensor = Tensor { shape: shape.to_vec(), data: vec![0.5; shape.iter().product()] };
        self.tensors.insert(name.into(), tensor);
        self
    }

    pub fn beside(self, name: &str, json: &str) -> Self {
        fs::write(self.dir.path().join(name), json).unwrap();
        self
    }

    /// Everything told; heads and activation are what the fixtures have.
    pub fn request(&self) -> Request {
        Request {
            weights: self.dir.path().join("model.safetensors"),
            name: "backbone".into(),
            out: self.dir.path().join("models"),
            heads: Some(3),
            activation: Some(Activation::Gelu),
            preprocessing: Some(PreprocessingName::Imagenet),
            ..Request::default()
        }
    }

    pub fn import(&self, request: &Request) -> Result<BackboneConfig, Error> {
        write_safetensors(&request.weights, &self.tensors);
        import(request)
    }

    pub fn error(&self) -> String {
        let error = self.import(&self.request()).unwrap_err();
        assert!(self.leftovers().is_empty(), "{error} left {:?}", self.leftovers());
        error.to_string()
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("models")) else { return vec![] };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn vit(config: &BackboneConfig) -> &VitConfig {
    let Architecture::Vit(vit) = &config.architecture else { panic!("{:?}", config.architecture) };
    vit
}

pub fn assert_names(error: &str, names: &[&str]) {
    for name in names {
        assert!(error.contains(name), "no {name} in: {error}");
    }
}

#[test]
fn shapes_epsilon_and_pooling_are_recognised() {
    let (timm, hf, clip) = (1e-6, 1e-12, 1e-5);
    let cases = [
        ("vit_timm", "timm", Pool::Cls, timm, 0),
        ("vit_timm_mean", "timm", Pool::MeanThenNorm, timm, 0),
        ("vit_timm_mean_norm_first", "timm", Pool::Mean, timm, 0),
        ("vit_timm_deit", "timm", Pool::Cls, timm, 0),
        ("vit_timm_deit3", "timm", Pool::Cls, timm, 0),
        ("vit_timm_clip", "timm", Pool::Cls, clip, 0),
        ("vit_timm_dinov2", "timm", Pool::Cls, timm, 0),
        ("vit_timm_dinov2_registers", "timm", Pool::Cls, timm, 4),
        ("vit_hf", "hugging_face", Pool::Cls, hf, 0),
        ("vit_hf_clip", "hugging_face", Pool::Cls, clip, 0),
        ("vit_hf_dinov2", "hugging_face", Pool::Cls, timm, 0),
        ("vit_hf_dinov2_registers", "hugging_face", Pool::Cls, timm, 4),
        ("vit_timm_deit_distilled", "timm", Pool::ClassAndDistillation, timm, 0),
        ("vit_timm_siglip", "timm", Pool::Attention, timm, 0),
        ("vit_hf_deit_distilled", "hugging_face", Pool::ClassAndDistillation, hf, 0),
        ("vit_hf_siglip", "hugging_face", Pool::Attention, timm, 0),
    ];
    for (name, naming, pool, eps, registers) in cases {
        let checkpoint = Checkpoint::of(name);
        let config = checkpoint.import(&checkpoint.request()).unwrap();
        let (vit, told) = (vit(&config), Fixture::named(name).json("config"));
        let found = [vit.image_size, vit.patch_size, vit.width, vit.depth, vit.mlp_width];
        let expected = ["native_image_size", "patch_size", "width", "depth", "mlp_width"];
        assert_eq!(found.map(|n| n as u64), expected.map(|key| told[key].as_u64().unwrap()), "{name}");
        assert_eq!((vit.pool, vit.layer_norm_eps, vit.registers), (pool, eps, registers), "{name}");
        assert_eq!(config.provenance.naming, naming, "{name}");
        assert_eq!(BackboneConfig::read(&checkpoint.dir.path().join("models/backbone")).unwrap(), config);
    }
}

#[test]
fn what_is_no_part_of_the_backbone_is_left_out_by_name() {
    for (fixture, names) in [
        ("vit_timm", &["head.bias", "head.weight"][..]),
        ("vit_hf", &["pooler.dense.bias", "pooler.dense.weight"]),
        ("vit_hf_clip", &["visual_projection.weight"]),
        ("vit_hf_dinov2", &["embeddings.mask_token"]),
    ] {
        let checkpoint = Checkpoint::of(fixture);
        let config = checkpoint.import(&checkpoint.request()).unwrap();
        assert_eq!(config.provenance.left_out, names, "{fixture}");
    }
}

#[test]
fn prefixes_of_wrapping_models_are_taken_off() {
    for (fixture, prefix) in [("vit_timm", "model."), ("vit_timm_clip", "visual.trunk."), ("vit_hf", "vit.")]
    {
        let mut checkpoint = Checkpoint::of(fixture);
        let plain = checkpoint.import(&checkpoint.request()).unwrap();
        let wrapped = std::mem::take(&mut checkpoint.tensors).into_iter();
        checkpoint.tensors = wrapped.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        let request = Request { name: "wrapped".into(), ..checkpoint.request() };
        assert_eq!(checkpoint.import(&request).unwrap().fingerprint, plain.fingerprint, "{fixture}");
    }
}

#[test]
fn missing_extra_and_misshaped_tensors_are_all_named_by_their_own_names() {
    let timm = Checkpoint::of("vit_timm")
        .without("blocks.1.norm2.bias")
        .without("norm.weight")
        .with("blocks.0.attn.q_norm.weight", &[16])
        .with("blocks.2.mlp.fc2.weight", &[48, 7])
        .with("blocks.0.norm1.weight", &[3])
        .error();
    assert_names(&timm, &["5 tensor(s)", "blocks.1.norm2.bias is missing", "norm.weight is missing"]);
    assert_names(&timm, &["blocks.0.attn.q_norm.weight is not part", "blocks.2.mlp.fc2.weight would give"]);
    assert_names(&timm, &["blocks.0.norm1.weight would give"]);

    let hf = Checkpoint::of("vit_hf")
        .without("encoder.layer.1.attention.attention.key.weight")
        .with("encoder.layer.2.output.dense.weight", &[48])
        .with("decoder.weight", &[2, 2])
        .error();
    assert_names(&hf, &["3 tensor(s)", "encoder.layer.1.attention.attention.key.weight is missing"]);
    assert_names(
        &hf,
        &["encoder.layer.2.output.dense.weight has an unexpected shape", "decoder.weight is not"],
    );
}

#[test]
fn a_fused_projection_of_another_height_is_refused() {
    // Its first three quarters would pass for query, key and value.
    let error = Checkpoint::of("vit_timm").with("blocks.1.attn.qkv.weight", &[4 * 48, 48]).error();
    assert_names(&error, &["1 tensor(s)", "blocks.1.attn.qkv.weight has an unexpected shape"]);
}

#[test]
fn a_block_that_is_missing_is_noticed() {
    let mut checkpoint = Checkpoint::of("vit_hf").beside("config.json", r#"{"num_hidden_layers": 3}"#);
    checkpoint.import(&checkpoint.request()).unwrap();
    fs::remove_dir_all(checkpoint.dir.path().join("models")).unwrap();
    checkpoint.tensors.retain(|name, _| !name.starts_with("encoder.layer.2."));
    assert_names(&checkpoint.error(), &["num_hidden_layers says 3", "says 2"]);
}

#[test]
fn a_distilled_model_may_be_read_at_its_class_token_alone() {
    // Hugging Face's base model has the token; which of the two is read, its classifiers tell.
    let cls = Checkpoint::of("vit_hf_deit");
    assert_eq!(vit(&cls.import(&cls.request()).unwrap()).pool, Pool::Cls);
    let both = Checkpoint::of("vit_timm_deit_distilled");
    let request = Request { pool: Some(Pool::Cls), ..both.request() };
    let config = both.import(&request).unwrap();
    assert!(vit(&config).distillation_token && vit(&config).pool == Pool::Cls);
    // timm's table without rows for the two tokens.
    let table = Checkpoint::of("vit_timm_deit_distilled").with("pos_embed", &[1, 16, 48]);
    table.import(&table.request()).unwrap();
    let alone = Checkpoint::of("vit_timm_deit").with("dist_token", &[1, 1, 48]).without("cls_token");
    assert_names(&alone.error(), &["distillation_token", "no class token"]);
}

#[test]
fn attention_pooling_is_whole_or_left_out() {
    let broken = Checkpoint::of("vit_timm_siglip").without("attn_pool.kv.bias").error();
    assert_names(&broken, &["attn_pool.kv.bias is missing"]);
    let broken = Checkpoint::of("vit_hf_siglip").with("head.attention.in_proj_weight", &[96, 48]).error();
    assert_names(&broken, &["head.attention.in_proj_weight has an unexpected shape"]);
    let broken = Checkpoint::of("vit_hf_siglip").with("head.probe", &[1, 2, 48]).error();
    assert!(!broken.is_empty());
    for fixture in ["vit_timm_siglip", "vit_hf_siglip"] {
        let checkpoint = Checkpoint::of(fixture);
        let request = Request { pool: Some(Pool::Mean), ..checkpoint.request() };
        let config = checkpoint.import(&request).unwrap();
        assert_eq!(vit(&config).pool, Pool::Mean);
        assert!(config.provenance.left_out.len() >= 11, "{:?}", config.provenance.left_out);
    }
}

#[test]
fn files_that_are_no_checkpoint_are_refused() {
    let checkpoint = Checkpoint::of("vit_timm");
    let request = checkpoint.request();
    write_safetensors(&request.weights, &checkpoint.tensors);
    let whole = fs::read(&request.weights).unwrap();
    let refused = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        let error = import(&Request { weights: path.into(), ..request.clone() }).unwrap_err();
        assert!(checkpoint.leftovers().is_empty());
        error
    };
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused(&request.weights, &whole[..length]);
        assert!(matches!(error, Error::Backbone(BackboneError::Weights { .. })), "{length} bytes: {error}");
    }
    let other = |name: &str| checkpoint.dir.path().join(name);
    assert!(matches!(refused(&other("model.npz"), b"nothing known"), Error::UnknownLayout { .. }));
    assert!(matches!(refused(&other("model.bin"), b"nothing known"), Error::Torch { .. }));
    assert!(matches!(refused(&other("empty.pth"), b""), Error::Torch { .. }));
    assert!(matches!(refused(&other("model.onnx"), b"nothing known"), Error::UnknownLayout { .. }));
    assert!(matches!(refused(&other("empty.onnx"), b""), Error::UnknownLayout { .. }));
    let absent = Request { weights: other("absent.safetensors"), ..request };
    assert!(matches!(import(&absent), Err(Error::Backbone(BackboneError::Io { .. }))));
}

#[test]
fn unknown_namings_are_refused() {
    let mut resnet = Checkpoint::of("vit_timm").with("layer1.0.conv1.weight", &[4, 3, 3, 3]);
    resnet.tensors.retain(|name, _| name.starts_with("layer1"));
    assert_names(&resnet.error(), &["ResNet", "not supported", "layer1.0.conv1.weight"]);
    let mut own = Checkpoint::of("vit_timm").with("my.layer.weight", &[4, 4]);
    own.tensors.retain(|name, _| name.starts_with("my."));
    assert_names(&own.error(), &["unknown checkpoint layout", "patch_embed.proj.weight"]);
}

#[test]
fn shapes_that_make_no_sense_are_errors_not_panics() {
    let huge = format!("blocks.{}.norm1.weight", usize::MAX);
    let cases: [(&str, &str, &[usize]); 10] = [
        ("vit_timm", "patch_embed.proj.weight", &[48, 3, 0, 0]),
        ("vit_timm", "patch_embed.proj.weight", &[0, 3, 8, 8]),
        ("vit_timm", "pos_embed", &[1, 0, 48]),
        ("vit_timm", "pos_embed", &[17]),
        ("vit_timm", "blocks.0.mlp.fc1.weight", &[0, 48]),
        ("vit_timm", &huge, &[1]),
        ("vit_timm_dinov2_registers", "reg_token", &[4]),
        ("vit_hf", "embeddings.position_embeddings", &[0]),
        ("vit_hf", "embeddings.patch_embeddings.projection.weight", &[48, 3, 0, 8]),
        ("vit_hf_dinov2_registers", "embeddings.register_tokens", &[48]),
    ];
    for (fixture, name, shape) in cases {
        assert!(!Checkpoint::of(fixture).with(name, shape).error().is_empty());
    }
}

#[test]
fn an_existing_backbone_is_kept_unless_a_whole_one_replaces_it() {
    let old = Checkpoint::of("vit_timm");
    let request = old.request();
    let config = old.import(&request).unwrap();
    let folder = request.out.join("backbone");
    let unchanged = || assert_eq!(BackboneConfig::read(&folder).unwrap(), config);

    assert_names(&old.import(&request).unwrap_err().to_string(), &["exists", "overwrite"]);
    unchanged();
    let overwrite = Request { overwrite: true, ..request };
    Checkpoint::of("vit_timm").without("norm.bias").import(&overwrite).unwrap_err();
    unchanged();
    assert_eq!(old.leftovers(), std::slice::from_ref(&folder));

    let new = Checkpoint::of("vit_timm_deit").import(&overwrite).unwrap();
    assert_ne!(new.fingerprint, config.fingerprint);
    assert_eq!(BackboneConfig::read(&folder).unwrap(), new);
    assert_eq!(old.leftovers(), std::slice::from_ref(&folder));
    let files = ["config.json", "backbone.safetensors", "backbone.onnx"];
    assert!(files.iter().all(|file| folder.join(file).is_file()));
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let checkpoint = Checkpoint::of("vit_timm");
    for name in ["", ".", "..", "../x", "a/b", "/tmp/x", ".hidden", "UPPER"] {
        let request = Request { name: name.into(), ..checkpoint.request() };
        let error = checkpoint.import(&request).unwrap_err();
        assert!(
            matches!(error, Error::Backbone(BackboneError::Invalid { field: "name", .. })),
            "{name:?}: {error}"
        );
    }
}

#[test]
fn half_precision_is_widened_exactly() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let checkpoint = Checkpoint::of("vit_timm");
        let request = checkpoint.request();
        let halve = |v: &f32| match dtype {
            Dtype::F16 => half::f16::from_f32(*v).to_le_bytes(),
            _ => half::bf16::from_f32(*v).to_le_bytes(),
        };
        let bytes: BTreeMap<&String, Vec<u8>> =
            checkpoint.tensors.iter().map(|(n, t)| (n, t.data.iter().flat_map(halve).collect())).collect();
        let views = checkpoint
            .tensors
            .iter()
            .map(|(n, t)| (n, TensorView::new(dtype, t.shape.clone(), &bytes[n]).unwrap()));
        fs::write(&request.weights, safetensors::serialize(views, None).unwrap()).unwrap();
        import(&request).unwrap();

        let stored = fs::read(request.out.join("backbone/backbone.safetensors")).unwrap();
        let stored = SafeTensors::deserialize(&stored).unwrap();
        let found = stored.tensor("norm.weight").unwrap().data().to_vec();
        let widen = |v: &f32| match dtype {
            Dtype::F16 => half::f16::from_f32(*v).to_f32(),
            _ => half::bf16::from_f32(*v).to_f32(),
        };
        let expected = checkpoint.tensors["norm.weight"].data.iter().flat_map(|v| widen(v).to_le_bytes());
        assert_eq!(found, expected.collect::<Vec<u8>>(), "{dtype:?}");
    }
}

/// What a checkpoint without heads, activation or preprocessing in the request comes to.
fn untold(checkpoint: &Checkpoint) -> Result<BackboneConfig, Error> {
    checkpoint.import(&Request {
        heads: Some(3),
        activation: None,
        preprocessing: None,
        overwrite: true,
        ..checkpoint.request()
    })
}

#[test]
fn preprocessing_is_never_guessed() {
    let plain = ["vit_timm", "vit_timm_deit", "vit_timm_deit3", "vit_hf"];
    for fixture in plain {
        let error = untold(&Checkpoint::of(fixture)).unwrap_err().to_string();
        assert_names(&error, &["preprocessing = unknown"]);
    }
    let clip = untold(&Checkpoint::of("vit_hf_clip")).unwrap();
    assert_eq!(clip.preprocessing, Preprocessing::clip(clip.image_size() as u32));
    let dinov2 = untold(&Checkpoint::of("vit_hf_dinov2")).unwrap();
    assert_eq!(dinov2.preprocessing, Preprocessing::imagenet(dinov2.image_size() as u32));
}

#[test]
fn activations_that_models_of_one_shape_disagree_on_are_never_guessed() {
    for fixture in ["vit_timm_clip", "vit_timm_mean_norm_first"] {
        let error = untold(&Checkpoint::of(fixture)).unwrap_err().to_string();
        assert_names(&error, &["activation = unknown"]);
    }
    let told = |architecture: &str| {
        // The fixture is of another size than the architecture.
        let args = r#""embed_dim": 48, "depth": 3, "patch_size": 8, "num_heads": 3"#;
        let config = format!(
            r#"{{"architecture": "{architecture}", "model_args": {{{args}}}, "pretrained_cfg": {{}}}}"#
        );
        untold(&Checkpoint::of("vit_timm_clip").beside("config.json", &config)).map(|c| vit(&c).activation)
    };
    assert_eq!(told("vit_base_patch16_clip_quickgelu_224").unwrap(), Activation::QuickGelu);
    assert_eq!(told("vit_base_patch16_clip_224").unwrap(), Activation::Gelu);
    assert!(told("vit_so400m_patch14_siglip_gap_224").is_err());
}

#[test]
fn hugging_face_configs_are_read() {
    let config =
        r#"{"vision_config": {"num_attention_heads": 6, "hidden_act": "gelu", "layer_norm_eps": 1e-3}}"#;
    let checkpoint = Checkpoint::of("vit_hf_clip").beside("config.json", config);
    let request = Request { heads: None, activation: None, ..checkpoint.request() };
    let imported = checkpoint.import(&request).unwrap();
    let vit = vit(&imported);
    assert_eq!((vit.heads, vit.activation, vit.layer_norm_eps), (6, Activation::Gelu, 1e-3));

    let other = Checkpoint::of("vit_hf").beside("config.json", r#"{"hidden_act": "gelu_new"}"#);
    assert_names(&other.error(), &["hidden_act", "gelu_new"]);
}

#[test]
fn timm_configs_tell_pooling() {
    let pool = |fixture: &str, pool: &str| {
        let config = format!(r#"{{"global_pool": "{pool}", "pretrained_cfg": {{}}}}"#);
        let checkpoint = Checkpoint::of(fixture).beside("config.json", &config);
        checkpoint.import(&checkpoint.request()).map(|config| vit(&config).pool)
    };
    assert_eq!(pool("vit_timm", "token").unwrap(), Pool::Cls);
    assert_eq!(pool("vit_timm", "avg").unwrap(), Pool::Mean);
    assert_eq!(pool("vit_timm_mean", "avg").unwrap(), Pool::MeanThenNorm);
    assert_eq!(pool("vit_timm_siglip", "map").unwrap(), Pool::Attention);
    assert_names(&pool("vit_timm", "map").unwrap_err().to_string(), &["attn_pool.latent is missing"]);
    assert_names(&pool("vit_timm", "prr").unwrap_err().to_string(), &["pool = prr"]);
}

/// What the file `name` beside the checkpoint says about resizing, for 32 pixels a side.
fn resize(fixture: &str, name: &str, json: &str) -> Option<(ResizeMode, Interpolation)> {
    let config = untold(&Checkpoint::of(fixture).beside(name, json));
    config.ok().map(|config| (config.preprocessing.resize, config.preprocessing.interpolation))
}

#[test]
fn preprocessor_configs_are_followed_or_refused() {
    let check = |json: &str, expected: Option<(ResizeMode, Interpolation)>| {
        let json = format!(r#"{{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], {json}}}"#);
        assert_eq!(resize("vit_hf", "preprocessor_config.json", &json), expected, "{json}");
    };
    let short = |resize_to| ResizeMode::ShortSideThenCrop { resize_to };
    let (bicubic, bilinear) = (Interpolation::Bicubic, Interpolation::Bilinear);
    let crop = r#""do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "resample": 3"#;
    // openai/clip-vit-base-patch16, facebook/dinov2-small, google/vit-base-patch16-224.
    check(&format!(r#"{crop}, "size": {{"shortest_edge": 224}}"#), Some((short(32), bicubic)));
    check(&format!(r#"{crop}, "size": {{"shortest_edge": 256}}"#), Some((short(36), bicubic)));
    check(r#""size": {"height": 224, "width": 224}, "resample": 2"#, Some((ResizeMode::Squash, bilinear)));
    check(r#""size": 224, "resample": 2"#, Some((ResizeMode::Squash, bilinear)));
    let old = r#""do_center_crop": true, "crop_size": 224, "size": 224, "resample": 3"#;
    check(&format!(r#"{old}, "feature_extractor_type": "CLIPFeatureExtractor""#), Some((short(32), bicubic)));
    // facebook/deit-tiny-patch16-224 squashes to 256 and crops; a size beside the crop is ambiguous otherwise.
    check(&format!(r#"{crop}, "size": {{"height": 256, "width": 256}}"#), None);
    check(old, None);
    check(r#""size": 224"#, None);
    check(r#""size": 224, "resample": 0"#, None);
    check(r#""size": 224, "resample": 2, "do_normalize": false"#, None);
    check(r#""size": 224, "resample": 2, "rescale_factor": 0.5"#, None);
}

#[test]
fn timm_configs_are_followed_or_refused() {
    let check = |json: &str, expected: Option<(ResizeMode, Interpolation)>| {
        let json = format!(r#"{{"architecture": "vit", "pretrained_cfg": {{{json}}}}}"#);
        assert_eq!(resize("vit_timm", "config.json", &json), expected, "{json}");
    };
    let short = |resize_to| ResizeMode::ShortSideThenCrop { resize_to };
    let bicubic = Interpolation::Bicubic;
    check(r#""crop_pct": 0.9"#, Some((short(35), bicubic)));
    check(r#""crop_pct": 1.0, "interpolation": "bilinear""#, Some((short(32), Interpolation::Bilinear)));
    check(r#""crop_pct": 1.0, "crop_mode": "squash""#, Some((ResizeMode::Squash, bicubic)));
    check(r#""crop_pct": 0.9, "crop_mode": "squash""#, None);
    check(r#""crop_pct": 1.0, "crop_mode": "border""#, None);
    check(r#""interpolation": "nearest""#, None);
}
