//! What only a CvT has: convolutions to fold, and settings that no tensor shows.

use std::collections::BTreeMap;
use std::fs;

use mimi_server::backbone::{Activation, Architecture, BackboneConfig, BlockRange, CvtConfig, CvtStage};
use mimi_server::backbone::{FORMAT_VERSION, ModuleSet, Pool, Provenance};
use mimi_server::graph::{PIXELS, Plan, build, plan_flops};
use mimi_server::image::{Interpolation, Preprocessing, ResizeMode};
use mimi_server::import::backbone::{Request, import};
use mimi_server::inspect;
use mimi_server::runtime::{Input, Program, WeightOptions};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::import::{Checkpoint, assert_names};
use crate::support::{self, Fixture, TinyBackbone, assert_close};

/// The fixture with its own `config.json`, in which `from` is changed `to` something.
fn checkpoint((from, to): (&str, &str)) -> Checkpoint {
    let json = Fixture::named("cvt_hf").metadata["config_json"].clone();
    assert!(json.contains(from), "{json}");
    Checkpoint::of("cvt_hf").beside("config.json", &json.replace(from, to))
}

fn request(checkpoint: &Checkpoint) -> Request {
    Request { image_size: Some(40), activation: None, heads: None, overwrite: true, ..checkpoint.request() }
}

fn cvt(config: &BackboneConfig) -> &CvtConfig {
    let Architecture::Cvt(cvt) = &config.architecture else { panic!("no CvT: {config:?}") };
    cvt
}

#[test]
fn the_shape_is_read_from_tensors_and_config() {
    let whole = checkpoint(("", ""));
    let config = whole.import(&request(&whole)).unwrap();
    let cvt = cvt(&config);
    let stages: Vec<_> = cvt.stages.iter().map(|s| (s.width, s.depth, s.heads, s.mlp_width)).collect();
    assert_eq!(stages, [(16, 1, 1, 64), (32, 2, 2, 96), (48, 3, 3, 48)]);
    assert_eq!([0, 1, 2].map(|s| cvt.tokens(s)), [100, 25, 10]);
    assert_eq!((cvt.activation, config.activation()), (Activation::Gelu, Activation::QuickGelu));
    assert_eq!((cvt.layer_norm_eps, cvt.final_norm), (1e-5, true));
    assert_eq!(config.provenance.naming, "hugging_face");
    assert_eq!(config.provenance.left_out, ["classifier.bias", "classifier.weight"]);
    // Microsoft's own code has QuickGELU in the MLPs too; that may be asked for.
    let quick = Request { activation: Some(Activation::QuickGelu), ..request(&whole) };
    let config = whole.import(&quick).unwrap();
    assert_eq!(self::cvt(&config).activation, Activation::QuickGelu);
}

#[test]
fn settings_that_are_not_computed_are_refused() {
    let refused = |change: (&str, &str), reason: &str| {
        let checkpoint = checkpoint(change);
        let error = checkpoint.import(&request(&checkpoint)).unwrap_err().to_string();
        assert_names(&error, &[reason]);
    };
    refused(
        (r#""stride_q": [1, 1, 1]"#, r#""stride_q": [1, 2, 1]"#),
        "stride_q is [1, 2, 1], but must be 1 in stage 1",
    );
    refused(
        (r#""padding_kv": [1, 1, 1]"#, r#""padding_kv": [1, 1, 0]"#),
        "padding_kv is [1, 1, 0], but must be 1 in stage 2",
    );
    refused((r#""depth": [1, 2, 3]"#, r#""depth": [1, 2, 10]"#), "must be 3 in stage 2");
    refused((r#""num_heads": [1, 2, 3]"#, r#""num_heads": [1, 2]"#), "num_heads has no stage 2");
    refused((r#""num_heads": [1, 2, 3]"#, r#""num_heads": [1, 2, 5]"#), "not a multiple of heads");
    refused((r#""patch_stride": [4, 2, 2]"#, r#""patch_stride": [4, 0, 2]"#), "stages.patch_stride = 0");
    let untold = checkpoint((r#""num_heads": [1, 2, 3]"#, r#""num_heads": null"#));
    assert_names(&untold.import(&request(&untold)).unwrap_err().to_string(), &["heads = unknown"]);
    let whole = checkpoint(("", ""));
    let asked = |request: Request| whole.import(&request).unwrap_err().to_string();
    assert_names(&asked(Request { heads: Some(3), ..request(&whole) }), &["heads = 3"]);
    assert_names(&asked(Request { pool: Some(Pool::Mean), ..request(&whole) }), &["pool = Mean"]);
    let layer = "cvt.encoder.stages.1.layers.0.attention.attention.convolution_projection_key";
    let mean = format!("{layer}.convolution_projection.normalization.running_mean");
    let broken = checkpoint(("", "")).without(&mean);
    assert_names(&broken.import(&request(&broken)).unwrap_err().to_string(), &["running_mean is missing"]);
    let broken = checkpoint(("", "")).with(&mean, &[16]);
    assert_names(&broken.import(&request(&broken)).unwrap_err().to_string(), &["has an unexpected shape"]);
}

#[test]
fn the_images_size_is_told_or_asked_for() {
    let untold = |checkpoint: &Checkpoint| {
        checkpoint.import(&Request { image_size: None, preprocessing: None, ..request(checkpoint) })
    };
    assert_names(&untold(&checkpoint(("", ""))).unwrap_err().to_string(), &["image_size = unknown"]);
    let preprocessor = |size: &str| {
        let json = format!(
            r#"{{"crop_pct": 0.875, "feature_extractor_type": "ConvNextFeatureExtractor", "resample": 3, {size},
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}}"#
        );
        untold(&checkpoint(("", "")).beside("preprocessor_config.json", &json)).unwrap()
    };
    // microsoft/cvt-13's file, with another size; from 384 on, images are squashed.
    let small = preprocessor(r#""size": 56"#);
    let cropped = ResizeMode::ShortSideThenCrop { resize_to: 64 };
    assert_eq!((small.image_size(), small.preprocessing.resize), (56, cropped));
    assert_eq!(small.preprocessing.interpolation, Interpolation::Bicubic);
    let large = preprocessor(r#""size": {"shortest_edge": 384}"#);
    assert_eq!((large.image_size(), large.preprocessing.resize), (384, ResizeMode::Squash));
}

/// Features of the fixture's images.
fn features(config: &BackboneConfig, folder: &std::path::Path, pixels: &support::Tensor) -> Vec<f32> {
    let runtime = support::runtime();
    let store =
        mimi_server::runtime::WeightStore::open(&runtime, config, folder, WeightOptions::default()).unwrap();
    let graph = build(config, &Plan::whole(config, ModuleSet::EMPTY)).unwrap();
    let mut program = Program::compile(&runtime, &std::sync::Arc::new(store), &graph).unwrap();
    program.run(&[Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data }]).unwrap().remove(0).data
}

#[test]
fn the_bare_model_has_the_class_token_for_feature() {
    let mut bare = checkpoint(("", "")).without("classifier.weight").without("classifier.bias");
    let norm = ["layernorm.weight", "layernorm.bias"].map(|name| bare.tensors.remove(name).unwrap());
    let stripped = std::mem::take(&mut bare.tensors).into_iter();
    bare.tensors = stripped.map(|(name, t)| (name.strip_prefix("cvt.").unwrap().to_owned(), t)).collect();
    let config = bare.import(&request(&bare)).unwrap();
    assert!(!cvt(&config).final_norm);
    let fixture = Fixture::named("cvt_hf");
    let found = features(&config, &bare.dir.path().join("models/backbone"), &fixture.tensors["input/pixels"]);
    // The final norm of these is what the whole model gives.
    let normed = found.chunks(48).flat_map(|row| {
        let mean = row.iter().sum::<f32>() / 48.0;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 48.0;
        let one =
            |(i, x): (usize, &f32)| (x - mean) / (variance + 1e-5).sqrt() * norm[0].data[i] + norm[1].data[i];
        row.iter().enumerate().map(one).collect::<Vec<_>>()
    });
    let normed: Vec<f32> = normed.collect();
    assert_close("normed", &normed, &fixture.tensors["expect/features"].data, 1e-4);
}

#[test]
fn counters_of_batches_are_left_out() {
    let whole = checkpoint(("", ""));
    let request = request(&whole);
    let counter = 7i64.to_le_bytes();
    let name = "cvt.encoder.stages.0.layers.0.x.normalization.num_batches_tracked";
    let bytes: BTreeMap<&String, Vec<u8>> = whole
        .tensors
        .iter()
        .map(|(name, t)| (name, t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = whole.tensors.iter().map(|(name, t)| {
        (name.as_str(), TensorView::new(Dtype::F32, t.shape.clone(), &bytes[name]).unwrap())
    });
    let counter = [(name, TensorView::new(Dtype::I64, vec![], &counter).unwrap())];
    fs::write(&request.weights, safetensors::serialize(views.chain(counter), None).unwrap()).unwrap();
    let config = import(&request).unwrap();
    assert_eq!(config.provenance.left_out, [name, "classifier.bias", "classifier.weight"]);
    let stored = fs::read(request.out.join("backbone/backbone.safetensors")).unwrap();
    assert!(SafeTensors::deserialize(&stored).unwrap().names().iter().all(|name| !name.contains("batches")));
}

/// Multiply-adds of one image: all, and those for tokens that the pooling does not read, which are left out.
fn multiply_adds(cvt: &CvtConfig) -> (usize, usize) {
    let (mut all, mut left_out, mut channels) = (0, 0, 3);
    for (s, stage) in cvt.stages.iter().enumerate() {
        let (d, map) = (stage.width, cvt.grid(s).pow(2));
        let few = cvt.grid(s).div_ceil(2).pow(2);
        let keys = few + cvt.class_tokens(s);
        // A block whose queries are `asked` tokens, `convolved` of them from the map.
        let block = |asked: usize, convolved: usize| {
            let convolutions = (convolved + 2 * few) * 9 * d;
            let linears = 2 * asked * d * d + 2 * keys * d * d + 2 * asked * d * stage.mlp_width;
            convolutions + linears + 2 * asked * keys * d
        };
        all += map * d * channels * stage.patch_size.pow(2) + stage.depth * block(cvt.tokens(s), map);
        left_out = block(cvt.tokens(s), map) - block(1, 0);
        channels = d;
    }
    (all, left_out)
}

#[test]
fn the_cost_is_the_sum_of_its_products() {
    let tiny = TinyBackbone::from("cvt_hf");
    let (all, left_out) = multiply_adds(cvt(&tiny.config));
    let expected = 2 * (all - left_out) as u64;
    let bare = |start, end| {
        let blocks = BlockRange { start, end };
        plan_flops(&tiny.config, &Plan { blocks, modules: ModuleSet::EMPTY }, |_| 0).unwrap()
    };
    assert_eq!(bare(0, 6), expected);
    // Parts cost what the whole costs, and adapters what their sites' tokens do.
    assert_eq!(bare(0, 1) + bare(1, 3) + bare(3, 6), expected);
    let adapted = Plan::whole(&tiny.config, tiny.config.adapters());
    let adapters: usize = (0..6).map(|b| 8 * tiny.config.block_tokens(b) * tiny.config.block_width(b)).sum();
    assert_eq!(plan_flops(&tiny.config, &adapted, |_| 1).unwrap(), expected + adapters as u64);
}

/// A published size without its weights.
fn published(depths: [usize; 3], image_size: usize) -> BackboneConfig {
    let stage = |i: usize| CvtStage {
        width: [64, 192, 384][i],
        depth: depths[i],
        heads: [1, 3, 6][i],
        mlp_width: 4 * [64, 192, 384][i],
        patch_size: [7, 3, 3][i],
        patch_stride: [4, 2, 2][i],
        patch_padding: [2, 1, 1][i],
        kernel: 3,
        kv_stride: 2,
    };
    let cvt = CvtConfig {
        image_size,
        stages: (0..3).map(stage).collect(),
        activation: Activation::Gelu,
        layer_norm_eps: 1e-5,
        final_norm: true,
    };
    BackboneConfig {
        format_version: FORMAT_VERSION,
        name: "cvt".into(),
        fingerprint: String::new(),
        preprocessing: Preprocessing::imagenet(image_size as u32),
        architecture: Architecture::Cvt(cvt),
        provenance: Provenance::default(),
    }
}

#[test]
fn published_sizes_count_and_cost_what_is_published() {
    // Wu et al. 2021 at 384 pixels: 20 M and 32 M parameters, with a classifier of 0.385 M; 16.3 and 24.9 G
    // multiply-adds. Ours, with those for tokens that no one reads, are 16.27 and 24.85 G.
    let sizes = [([1, 2, 10], 19_612_480, 16.3), ([1, 4, 16], 31_237_696, 24.9)];
    for (depths, parameters, giga) in sizes {
        let config = published(depths, 384);
        config.validate().unwrap();
        assert_eq!(config.parameters(), parameters);
        let (all, left_out) = multiply_adds(cvt(&config));
        assert!((all as f64 / 1e9 - giga).abs() < 0.1, "{all} and {giga} G");
        let flops = plan_flops(&config, &Plan::whole(&config, ModuleSet::EMPTY), |_| 0).unwrap();
        assert_eq!(flops, 2 * (all - left_out) as u64);
    }
    let table = inspect::backbone(&published([1, 2, 10], 224)).unwrap();
    for line in ["parameters        19,612,480", "8,536,975,360", "blocks.12.mlp         384"] {
        assert!(table.contains(line), "no {line} in {table}");
    }
}
