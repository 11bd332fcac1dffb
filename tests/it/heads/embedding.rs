use mimi_server::backbone::{Place, Site};
use ndarray::{Array1, Array2};
use serde_json::{Value, json};

use crate::classify::base64;
use crate::server::{World, classify, get, image, post};
use crate::support::{FAMILIES, assert_close, rounding};

const RAW: &str = "application/octet-stream";

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

async fn embedded(app: &axum::Router, query: &str, name: &str) -> Value {
    let answer = post(app, &format!("/v1/embed{query}"), RAW, image(name)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.headers.contains_key("x-mimi-flops"));
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_on_a_features_gives_what_the_task_answers() {
    for family in FAMILIES {
        let world = World::of(family);
        let last = world.tiny.config.depth() - 1;
        let contents = world.tiny.contents(3, &[(Site::new(last, Place::Mlp), 4)], 4);
        world.publish("one", &contents);
        let app = world.server().await.app();
        let found = embedded(&app, "?task=one", "rgb.png").await;
        assert_eq!((&found["task"], &found["version"]), (&"one".into(), &1.into()));
        assert_eq!(found["backbone"], world.tiny.config.name);
        let feature = Array1::from_vec(floats(&found["embedding"]));
        let head = Array2::from_shape_vec((4, feature.len()), contents.head_weight.clone()).unwrap();
        let logits = head.dot(&feature) + &Array1::from_vec(contents.head_bias.clone());
        let powers = logits.mapv(f32::exp);
        let scores = &powers / powers.sum();
        let said = classify(&app, "one", image("rgb.png")).await.json();
        for prediction in said["predictions"].as_array().unwrap() {
            let expected = scores[prediction["index"].as_u64().unwrap() as usize];
            assert_close(family, &[prediction["score"].as_f64().unwrap() as f32], &[expected], 1e-5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_task_it_is_the_frozen_backbones_and_the_same_in_any_batch() {
    let world = World::new();
    world.publish("head", &world.tiny.contents(1, &[], 3));
    world.publish("adapted", &world.tiny.contents(2, &[(Site::new(0, Place::Attn), 4)], 3));
    let app = world.server().await.app();
    let names = ["rgb.png", "grey.jpg", "lossy.webp"];
    let encoded: Vec<_> = names.iter().map(|name| base64(&image(name))).collect();
    let batch = post(&app, "/v1/embed", "application/json", json!({ "images": encoded }).to_string()).await;
    let batch = batch.json();
    assert!(batch.get("task").is_none() && batch.get("version").is_none(), "{batch}");
    for (name, one) in names.iter().zip(batch["results"].as_array().unwrap()) {
        let bare = floats(&embedded(&app, "", name).await["embedding"]);
        assert_eq!(bare.len(), world.tiny.config.feature_width());
        let largest = bare.iter().fold(0f32, |most, x| most.max(x.abs()));
        let close = |what: &str, found: &[f32]| assert_close(what, found, &bare, rounding() * largest);
        close("in a batch", &floats(&one["embedding"]));
        close("under a head", &floats(&embedded(&app, "?task=head", name).await["embedding"]));
        let adapted = floats(&embedded(&app, "?task=adapted", name).await["embedding"]);
        assert!(adapted.iter().zip(&bare).any(|(a, b)| (a - b).abs() > 1e-3), "an adapter changes it");
    }
    let metrics = get(&app, "/metrics").await.text();
    assert!(metrics.contains("mimi_flops_total{task=\"none\"}"), "{metrics}");
    assert!(metrics.contains("mimi_requests_total{code=\"ok\",task=\"none\"} 4"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_for_features_are_admitted_as_all_others() {
    let world = World::new();
    let mut config = world.config();
    config.engine.queue_limit = 2;
    let app = mimi_server::serve::Server::build(config).await.unwrap().app();
    let encoded = vec![base64(&image("rgb.png")); 3];
    let body = json!({ "images": encoded }).to_string();
    let answer = post(&app, "/v1/embed", "application/json", body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "request_too_large".into()));
    let missing = post(&app, "/v1/embed?task=nobody", RAW, image("rgb.png")).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (404, "task_not_found".into()));
}
