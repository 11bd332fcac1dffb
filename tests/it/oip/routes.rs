//! What a client asks beside inferences.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::bodies::told;
use super::{asked, infer, world};
use crate::server::{Answer, get, image, send};

async fn json_of(app: &Router, path: &str) -> Value {
    let answer: Answer = get(app, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_and_without_a_slash_and_a_version() {
    let world = world();
    let app = world.server().await.app();
    for slash in ["", "/"] {
        let server = json_of(&app, &format!("/v2{slash}")).await;
        for extension in ["binary_tensor_data", "schedule_policy"] {
            assert!(server["extensions"].as_array().unwrap().contains(&json!(extension)), "{extension}");
        }
        for health in ["live", "ready"] {
            let told = json_of(&app, &format!("/v2/health/{health}{slash}")).await;
            assert_eq!(told, json!({"live": true, "ready": true}));
        }
        assert_eq!(json_of(&app, &format!("/v2/models{slash}")).await, json!({"models": ["one"]}));
        for version in ["", "/versions/1"] {
            let path = |rest: &str| format!("/v2/models/one{version}{rest}{slash}");
            let model = json_of(&app, &path("")).await;
            assert_eq!((&model["name"], &model["versions"]), (&json!("one"), &json!(["1"])));
            assert_eq!(model["labels"].as_array().unwrap().len(), 4);
            assert_eq!(
                model["outputs"][0],
                json!({"name": "probabilities", "datatype": "FP32", "shape": [-1, 4]})
            );
            assert_eq!(json_of(&app, &path("/ready")).await, json!({"name": "one", "ready": true}));
            let config = json_of(&app, &path("/config")).await;
            assert_eq!(
                (&config["max_batch_size"], &config["input"][0]["data_type"]),
                (&json!(8), &json!("TYPE_STRING"))
            );
            assert_eq!(json_of(&app, &path("/stats")).await["model_stats"][0]["name"], "one");
        }
    }
    for path in [
        "/v2/models/none",
        "/v2/models/one/versions/2",
        "/v2/models/one/versions/2/ready",
        "/v2/nowhere",
        "/v2/models/none/stats",
        "/v2/models/one/versions/x/config",
        "/v2/models/UPPER",
    ] {
        told(&get(&app, path).await, 404);
    }
    let head = Request::head("/v2/health/ready").body(Body::empty()).unwrap();
    assert_eq!(send(&app, head).await.status, 200);
    // Failures of other doors keep their form.
    assert_eq!(get(&app, "/v1/nowhere").await.code(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_there_tells_of_itself() {
    let world = world();
    let mut contents = world.contents(2, 1);
    contents.labels[0] = "other".into();
    world.publish("one", &contents);
    let app = world.server().await.app();
    for (version, number, label) in
        [("", 2, "other"), ("/versions/2", 2, "other"), ("/versions/1", 1, "class-0")]
    {
        let path = |rest: &str| format!("/v2/models/one{version}{rest}");
        let model = json_of(&app, &path("")).await;
        assert_eq!((&model["versions"], &model["labels"][0]), (&json!([number.to_string()]), &json!(label)));
        assert_eq!(json_of(&app, &path("/ready")).await, json!({"name": "one", "ready": true}));
        let config = json_of(&app, &path("/config")).await;
        assert_eq!(config["version_policy"]["specific"]["versions"], json!([number]));
    }
    for path in
        ["/versions/3", "/versions/0", "/versions/01/ready", "/versions/3/config", "/versions/1/stats"]
    {
        told(&get(&app, &format!("/v2/models/one{path}")).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_what_was_answered() {
    let world = world();
    let app = world.server().await.app();
    let before = json_of(&app, "/v2/models/one/stats").await["model_stats"][0].clone();
    assert_eq!((&before["inference_count"], &before["last_inference"]), (&json!(0), &json!(0)));
    for _ in 0..3 {
        assert_eq!(infer(&app, "one", &asked(&image("rgb.png"), &[])).await.status, 200);
    }
    assert_eq!(crate::server::classify(&app, "one", image("rgb.png")).await.status, 200);
    told(&infer(&app, "one", &asked(b"no image", &[])).await, 415);
    let stats = json_of(&app, "/v2/models/stats").await["model_stats"][0].clone();
    let count = |name: &str| stats["inference_stats"][name]["count"].as_u64().unwrap();
    assert_eq!((count("success"), count("fail"), count("compute_infer"), count("queue")), (4, 1, 4, 4));
    assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(4), &json!(4)));
    assert!(
        stats["inference_stats"]["success"]["ns"].as_u64()
            > stats["inference_stats"]["compute_infer"]["ns"].as_u64()
    );
    assert_eq!(stats["batch_stats"][0]["batch_size"], 1);
    assert!(stats["last_inference"].as_u64().unwrap() > 1_700_000_000_000);
}
