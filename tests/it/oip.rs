//! The Open Inference Protocol by REST: the same answers as every other door, in JSON and in binary.

mod bodies;
mod clients;
mod equal;
mod outputs;
mod priority;
mod repository;
mod routes;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::classify::base64;
use crate::server::{Answer, World, image, post, send};

/// The header with the length of the JSON before binary tensors.
pub const JSON_LENGTH: &str = "inference-header-content-length";

/// A world with one task, `one`, whose logits are unremarkable.
pub fn world() -> World {
    let world = World::new();
    let mut contents = world.contents(1, 2);
    contents.head_bias[2] = 0.25;
    world.publish("one", &contents);
    world
}

/// Posts JSON as clients do that name no content type.
pub async fn infer(app: &Router, model: &str, body: &Value) -> Answer {
    send(app, request(&format!("/v2/models/{model}/infer"), body.to_string(), None)).await
}

/// A request with JSON of this length in front.
pub fn request(path: &str, body: impl Into<Body>, length: Option<&str>) -> Request<Body> {
    let builder = Request::post(path);
    let builder = length.iter().fold(builder, |builder, length| builder.header(JSON_LENGTH, *length));
    builder.body(body.into()).unwrap()
}

/// JSON with tensors in binary behind it.
pub async fn infer_binary(app: &Router, model: &str, json: &Value, tail: &[u8]) -> Answer {
    let json = json.to_string();
    let body = [json.as_bytes(), tail].concat();
    let length = json.len().to_string();
    send(app, request(&format!("/v2/models/{model}/infer"), body, Some(&length))).await
}

/// An encoded image in JSON, with these outputs.
pub fn asked(image: &[u8], outputs: &[&str]) -> Value {
    let outputs: Vec<Value> = outputs.iter().map(|name| json!({"name": name})).collect();
    json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64(image)]}],
        "outputs": outputs})
}

/// The binary form of strings.
pub fn strings(all: &[&[u8]]) -> Vec<u8> {
    all.iter().flat_map(|one| [&(one.len() as u32).to_le_bytes(), *one].concat()).collect()
}

/// An output of an answer in JSON.
pub fn output(answer: &Answer, name: &str) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    let found = told["outputs"].as_array().unwrap().iter().find(|output| output["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name}: {told}"))
}

/// An output's numbers.
pub fn floats(output: &Value) -> Vec<f32> {
    output["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

/// The outputs of a binary answer, by name.
pub fn taken_apart(answer: &Answer) -> (Value, Vec<(String, Vec<u8>)>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let length: usize = answer.headers[JSON_LENGTH].to_str().unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&answer.body[..length]).unwrap();
    let mut rest = &answer.body[length..];
    let mut outputs = Vec::new();
    for output in json["outputs"].as_array().unwrap() {
        let size = output["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
        let (own, behind) = rest.split_at(size);
        outputs.push((output["name"].as_str().unwrap().to_owned(), own.to_vec()));
        rest = behind;
    }
    assert!(rest.is_empty(), "{} bytes belong to no output", rest.len());
    (json, outputs)
}

/// What v1 says of an image, by label.
pub async fn scores_by_v1(app: &Router, bytes: &[u8]) -> Vec<(String, f32)> {
    let answer = post(app, "/v1/tasks/one/classify?top_k=100", "image/png", bytes.to_vec()).await;
    let told = answer.json();
    let each = told["predictions"].as_array().unwrap().iter();
    each.map(|one| (one["label"].as_str().unwrap().to_owned(), one["score"].as_f64().unwrap() as f32))
        .collect()
}

/// Images of several forms and sizes.
pub fn images() -> Vec<Vec<u8>> {
    ["rgb.png", "grey.png", "baseline_420.jpg"].map(image).to_vec()
}
