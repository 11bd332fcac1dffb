//! Every combination of parts that the import accepts gives the features of timm or Hugging Face, with the
//! `config.json` that the library wrote beside it (script: `tests/fixtures/reference/vit_grid.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mimi_server::backbone::{Activation, BackboneConfig, ModuleSet, Pool};
use mimi_server::graph::{PIXELS, Plan, build};
use mimi_server::import::backbone::{Error, PreprocessingName, Request, import};
use mimi_server::runtime::{Input, Program, WeightOptions, WeightStore};
use serde_json::Value;

use crate::support::{self, Fixture, Tensor, assert_close, write_safetensors};

/// The bar for features of unit scale, absolute.
const TOLERANCE: f32 = 1e-4;

/// The fixture, read once a test.
struct Grid {
    fixture: Fixture,
    cases: serde_json::Map<String, Value>,
}

impl Grid {
    fn read() -> Self {
        let fixture = Fixture::named("vit_grid");
        let cases = fixture.json("cases").as_object().unwrap().clone();
        Self { fixture, cases }
    }

    /// The weights of a case under their names.
    fn weights(&self, case: &str) -> BTreeMap<String, Tensor> {
        let keys = self.cases[case]["weights"].as_array().unwrap();
        let tensor = |key: &str| {
            let name = key.split('@').next().unwrap().to_owned();
            (name, self.fixture.tensors[&format!("pool/{key}")].clone())
        };
        keys.iter().map(|key| tensor(key.as_str().unwrap())).collect()
    }

    /// What asks for a case's import; its files are in `dir`.
    fn request(&self, case: &str, dir: &Path, with_config: bool) -> Request {
        let weights = dir.join("model.safetensors");
        write_safetensors(&weights, &self.weights(case));
        let config = &self.cases[case]["config"];
        if with_config && !config.is_null() {
            fs::write(dir.join("config.json"), config.to_string()).unwrap();
        }
        let pool = self.cases[case]["pool"].as_str().map(|pool| match pool {
            "mean" => Pool::Mean,
            other => panic!("{other}"),
        });
        let (name, out) = ("backbone".into(), dir.to_owned());
        let preprocessing = Some(PreprocessingName::Half);
        Request { weights, name, out, pool, preprocessing, ..Request::default() }
    }

    fn check(&self, case: &str, config: &BackboneConfig, dir: &Path) {
        let pixels = &self.fixture.tensors["pixels"];
        let found = features(config, &dir.join("backbone"), pixels);
        let expected = &self.fixture.tensors[&format!("features/{case}")];
        assert_close(case, &found, &expected.data, TOLERANCE);
    }
}

/// The pooled features of a backbone.
pub fn features(config: &BackboneConfig, folder: &Path, pixels: &Tensor) -> Vec<f32> {
    let runtime = support::runtime();
    let store = WeightStore::open(&runtime, config, folder, WeightOptions::default()).unwrap();
    let graph = build(config, &Plan::whole(config, ModuleSet::EMPTY)).unwrap();
    let mut program = Program::compile(&runtime, &std::sync::Arc::new(store), &graph).unwrap();
    let input = Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data };
    program.run(&[input]).unwrap().remove(0).data
}

/// Combinations that timm builds and the import refuses, by name.
fn refused(case: &str) -> Option<&'static str> {
    (case.contains("global_pool=map") && case.contains("-fc_norm=True"))
        .then_some("attention pooling with fc_norm after it is not supported")
}

#[test]
fn f7_every_combination_equals_its_library_or_is_refused_by_name() {
    let grid = Grid::read();
    let mut accepted = 0;
    for case in grid.cases.keys() {
        let dir = tempfile::tempdir().unwrap();
        let mut request = grid.request(case, dir.path(), true);
        if grid.cases[case]["config"].is_null() {
            request.heads = Some(4);
        }
        match (import(&request), refused(case)) {
            (Ok(config), None) => {
                grid.check(case, &config, dir.path());
                accepted += 1;
            }
            (Err(error), Some(reason)) => assert!(error.to_string().contains(reason), "{case}: {error}"),
            (Ok(_), Some(_)) => panic!("{case} was to be refused"),
            (Err(error), None) => panic!("{case}: {error}"),
        }
    }
    assert!(accepted >= 90, "{accepted}");
}

#[test]
fn f7_attention_pooling_over_class_and_register_tokens_equals_timm_without_a_config() {
    let grid = Grid::read();
    let of_patches = |case: &&String| {
        case.contains("global_pool=map")
            && case.contains("pool_include_prefix=False")
            && refused(case).is_none()
            && case.starts_with("timm-class")
    };
    let mut prefixes = std::collections::BTreeSet::new();
    for case in grid.cases.keys().filter(of_patches) {
        let dir = tempfile::tempdir().unwrap();
        let args = &grid.cases[case.as_str()]["config"]["model_args"];
        let activation = match args["act_layer"].as_str() {
            Some("gelu_tanh") => Activation::GeluTanh,
            Some("quick_gelu") => Activation::QuickGelu,
            _ => Activation::Gelu,
        };
        let request = Request {
            heads: Some(4),
            activation: Some(activation),
            layer_norm_eps: Some(1e-6),
            ..grid.request(case, dir.path(), false)
        };
        let config = import(&request).unwrap_or_else(|error| panic!("{case}: {error}"));
        grid.check(case, &config, dir.path());
        prefixes.insert((args["class_token"].as_bool(), args["reg_tokens"].as_u64()));
    }
    assert_eq!(prefixes.len(), 4, "{prefixes:?}");
}

/// One timm case with its `config.json` changed.
fn changed(change: impl Fn(&mut Value)) -> Result<BackboneConfig, Error> {
    let grid = Grid::read();
    let case = "timm-class_token=True-reg_tokens=0-no_embed_class=False-global_pool=token-fc_norm=None\
                -pool_include_prefix=False";
    let dir = tempfile::tempdir().unwrap();
    let request = grid.request(case, dir.path(), true);
    let mut config = grid.cases[case]["config"].clone();
    change(&mut config);
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    import(&request)
}

#[test]
fn f7_parts_that_no_plain_vit_has_are_refused_by_name() {
    let cases = [
        ("qk_norm", serde_json::json!(true)),
        ("scale_attn_norm", serde_json::json!(true)),
        ("final_norm", serde_json::json!(false)),
        ("norm_layer", serde_json::json!("rmsnorm")),
        ("act_layer", serde_json::json!("silu")),
        ("global_pool", serde_json::json!("avgmax")),
        ("block_fn", serde_json::json!("ResPostBlock")),
        ("attn_layer", serde_json::json!("diff")),
        ("something_new", serde_json::json!(3)),
    ];
    for (name, value) in cases {
        let word = value.to_string();
        let error = changed(|config| {
            config["model_args"][name] = value.clone();
            if name == "global_pool" {
                config["global_pool"] = value.clone();
            }
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("not supported"), "{error}");
        assert!(error.contains(word.trim_matches('"')), "{error}");
    }
    // Its tensors are those of a plain ViT.
    let error = changed(|config| config["architecture"] = "vit_base_patch16_rpn_224".into()).unwrap_err();
    assert!(error.to_string().contains("ResPostBlock"), "{error}");
}

#[test]
fn f3_what_timms_config_tells_must_be_what_the_tensors_show() {
    let wrong = [
        ("embed_dim", serde_json::json!(32), "16"),
        ("depth", serde_json::json!(12), "2"),
        ("patch_size", serde_json::json!(8), "4"),
        ("mlp_ratio", serde_json::json!(4.0), "32"),
        ("class_token", serde_json::json!(false), "true"),
        ("reg_tokens", serde_json::json!(4), "0"),
        ("pre_norm", serde_json::json!(true), "false"),
        ("no_embed_class", serde_json::json!(true), "false"),
        ("img_size", serde_json::json!([32, 32]), "16"),
    ];
    for (name, value, shown) in wrong {
        let error = changed(|config| config["model_args"][name] = value.clone()).unwrap_err().to_string();
        assert!(error.contains("says") && error.contains(shown), "{name}: {error}");
        assert!(error.contains("config.json"), "{name}: {error}");
    }
    let error = changed(|config| config["num_features"] = 384.into()).unwrap_err().to_string();
    assert!(error.contains("num_features says 384") && error.contains("says 16"), "{error}");
    let error = changed(|config| config["global_pool"] = "avg".into()).unwrap_err().to_string();
    assert!(error.contains("says mean") && error.contains("says cls"), "{error}");
}
