//! What there is, loading and unloading.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use serde_json::{Value, json};

use super::bodies::told;
use super::{asked, infer, world};
use crate::server::{Answer, get, image, post, send};

async fn at(app: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(app, Request::post(format!("/v2/repository/{path}")).body(body.into()).unwrap()).await
}

async fn index(app: &Router, body: &str) -> Value {
    let answer = at(app, "index", body.to_owned()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_lasts_until_a_load_whatever_appears() {
    let world = world();
    let running = world.start().await;
    let app = world.server().await.app();
    let good = asked(&image("rgb.png"), &[]);
    assert_eq!(
        index(&app, "").await,
        json!([{"name": "one", "version": "1", "state": "READY", "reason": ""}])
    );
    assert_eq!(infer(&app, "one", &good).await.status, 200);
    assert_eq!(
        at(&app, "models/one/unload", "{\"parameters\":{\"unload_dependents\":false}}").await.status,
        200
    );
    assert!(told(&infer(&app, "one", &good).await, 404).contains("unloaded"));
    told(&get(&app, "/v2/models/one/ready").await, 503);
    assert_eq!(index(&app, "{}").await[0]["state"], "UNAVAILABLE");
    assert_eq!(index(&app, "{\"ready\": true}").await, json!([]));
    assert_eq!(post(&app, "/v1/tasks/one/classify", "image/png", image("rgb.png")).await.status, 404);
    world.publish("one", &world.contents(2, 3));
    assert_eq!(at(&app, "models/one/load", "{}").await.status, 200);
    assert_eq!(infer(&app, "one", &good).await.json()["model_version"], "2");
    told(&at(&app, "models/none/unload", "").await, 404);
    told(&at(&app, "models/none/load", "{}").await, 404);
    assert!(
        told(&at(&app, "models/one/load", "{\"parameters\":{\"config\":\"{}\"}}").await, 400)
            .contains("config")
    );
    running.end();
}

/// The watcher looks every 20 ms here; a new version of an unloaded task waits for the load.
#[tokio::test(flavor = "multi_thread")]
async fn the_watcher_does_not_bring_an_unloaded_task_back() {
    let world = world();
    let running = world.start().await;
    let base = format!("http://{}/v2", running.address);
    let curl = |method: &'static str, path: String, body: &'static str| async move {
        tokio::task::spawn_blocking(move || {
            let out = std::process::Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "-d", body, &path])
                .output()
                .unwrap();
            String::from_utf8(out.stdout).unwrap()
        })
        .await
        .unwrap()
    };
    assert_eq!(curl("POST", format!("{base}/repository/models/one/unload"), "{}").await, "200");
    world.publish("one", &world.contents(2, 3));
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(curl("GET", format!("{base}/models/one/ready"), "").await, "503");
    assert_eq!(curl("POST", format!("{base}/repository/models/one/load"), "{}").await, "200");
    assert_eq!(curl("GET", format!("{base}/models/one/versions/2/ready"), "").await, "200");
    running.end();
}

/// A pack comes with the request, is checked like any other, and is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_can_come_with_a_load() {
    let (world, made) = (world(), world());
    let folder = made.publish("new", &world.contents(5, 1));
    let read =
        |name: &str| base64::prelude::BASE64_STANDARD.encode(std::fs::read(folder.join(name)).unwrap());
    let files = |version: &str| {
        json!({"parameters": {
            format!("file:{version}/adapter_config.json"): read("adapter_config.json"),
            format!("file:{version}/adapter_model.safetensors"): read("adapter_model.safetensors")}})
    };
    let app = world.server().await.app();
    let good = asked(&image("rgb.png"), &[]);
    let loaded = at(&app, "models/new/load", files("3").to_string()).await;
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let answer = infer(&app, "new", &good).await.json();
    assert_eq!((&answer["model_version"], &answer["outputs"][1]["data"]), (&json!("3"), &json!(["class-1"])));
    assert!(world.task("new").join("3/adapter_config.json").exists());
    // A version is never overwritten, and never older than the newest.
    for version in ["3", "2"] {
        let error = told(&at(&app, "models/new/load", files(version).to_string()).await, 400);
        assert!(error.contains("version 3"), "{error}");
    }
    let good = files("4");
    let with = |name: &str, value: Value| {
        let mut files = good.clone();
        files["parameters"][name] = value;
        files.to_string()
    };
    for (body, status, words) in [
        (
            with("file:4/adapter_config.json", json!(base64::prelude::BASE64_STANDARD.encode("{}"))),
            422,
            "adapter_config.json",
        ),
        (with("file:4/adapter_config.json", json!("%")), 400, "base64"),
        (with("file:4/../../x", json!("aaaa")), 400, "x"),
        (with("file:5/adapter_config.json", json!("aaaa")), 400, "file:"),
        (with("file:4/code.py", json!("aaaa")), 400, "code.py"),
        (with("config", json!("{}")), 400, "config"),
        (
            json!({"parameters": {"file:4/adapter_config.json": "aaaa"}}).to_string(),
            400,
            "adapter_model.safetensors",
        ),
        (with("file:04/adapter_config.json", json!("aaaa")), 400, "04"),
    ] {
        let error = told(&at(&app, "models/new/load", body).await, status);
        assert!(error.contains(words), "{words}: {error}");
    }
    let left: Vec<_> =
        std::fs::read_dir(world.task("new")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["3"], "a refused pack leaves something behind");
    told(&at(&app, "models/Bad/load", files("1").to_string()).await, 404);
}
