//! Inference: what goes in by each way, and that it comes out as by other doors.

use std::time::Duration;

use mimi_server::grpc::messages::infer_parameter::ParameterChoice;
use mimi_server::grpc::messages::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use mimi_server::grpc::messages::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

use super::client;
use super::hostile::{INFER, framed, send};
use crate::server::{World, image};

/// A tensor without its values.
pub fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

/// Strings as they stand behind tensors.
pub fn strings(all: &[&[u8]]) -> Vec<u8> {
    all.iter().flat_map(|one| [&(one.len() as u32).to_le_bytes()[..], one].concat()).collect()
}

/// Outputs by name.
pub fn outputs(names: &[&str]) -> Vec<InferRequestedOutputTensor> {
    let one = |name: &&str| InferRequestedOutputTensor { name: (*name).into(), ..Default::default() };
    names.iter().map(one).collect()
}

/// One encoded image.
pub fn encoded(model: &str, names: &[&str]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.into(),
        inputs: vec![tensor("image", "BYTES", &[1])],
        outputs: outputs(names),
        raw_input_contents: vec![strings(&[&image("rgb.png")]).into()],
        ..ModelInferRequest::default()
    }
}

pub fn floats(answer: &ModelInferResponse, at: usize) -> Vec<f32> {
    answer.raw_output_contents[at].chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect()
}

fn world() -> World {
    let world = World::new();
    let mut contents = world.contents(1, 3);
    // Every class keeps a score that is neither 0 nor 1.
    contents.head_bias[3] = 0.5;
    world.publish("one", &contents);
    world
}

/// The same image gives the same scores by the first door, and the same bytes by each way of this one.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_gives_the_same_bytes() {
    let world = world();
    let running = world.start().await;
    let mut client = client(&running).await;
    let names = ["logits", "probabilities", "labels"];
    let raw = client.model_infer(encoded("one", &names)).await.unwrap().into_inner();
    let mut typed = encoded("one", &names);
    typed.raw_input_contents.clear();
    let bytes_contents = vec![image("rgb.png").into()];
    typed.inputs[0].contents = Some(InferTensorContents { bytes_contents, ..Default::default() });
    let typed = client.model_infer(typed).await.unwrap().into_inner();
    assert_eq!(typed.raw_output_contents, raw.raw_output_contents);
    let mut zipped = client
        .clone()
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let zipped = zipped.model_infer(encoded("one", &names)).await.unwrap().into_inner();
    assert_eq!(zipped.raw_output_contents, raw.raw_output_contents);
    assert_eq!((raw.model_name.as_str(), raw.model_version.as_str()), ("one", "1"));

    let server = world.server().await;
    let path = "/v1/tasks/one/classify?top_k=4";
    let answer = crate::server::post(&server.app(), path, "image/png", image("rgb.png")).await;
    let predictions = answer.json()["predictions"].as_array().unwrap().clone();
    let mut told: Vec<f32> = predictions.iter().map(|p| p["score"].as_f64().unwrap() as f32).collect();
    let mut scores = floats(&raw, 1);
    assert_eq!(scores.len(), told.len());
    scores.sort_by(f32::total_cmp);
    told.sort_by(f32::total_cmp);
    assert_eq!(
        scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>(),
        told.iter().map(|s| s.to_bits()).collect::<Vec<_>>()
    );
    running.end().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_own_words_come_back_and_count() {
    let world = world();
    let running = world.start().await;
    let mut client = client(&running).await;
    let mut request = encoded("one", &["probabilities"]);
    request.id = "my-1".into();
    let two = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(2)) };
    request.outputs[0].parameters.insert("classification".into(), two);
    let answer = client.model_infer(request).await.unwrap().into_inner();
    assert_eq!(answer.id, "my-1");
    assert!(answer.parameters.contains_key("pack_digest"), "{:?}", answer.parameters);
    assert_eq!(
        (answer.outputs[0].datatype.as_str(), answer.outputs[0].shape.as_slice()),
        ("BYTES", &[1, 2][..])
    );
    running.end().await.unwrap().unwrap();
}

/// A deadline in metadata or in a parameter that has passed is told as such.
#[tokio::test(flavor = "multi_thread")]
async fn deadlines_count() {
    let world = world();
    let running = world.start().await;
    let mut client = client(&running).await;
    // A client of this library gives up by itself: what the server does is seen without one.
    let server = world.server().await;
    let body = framed(&encoded("one", &[]).encode_to_vec(), false);
    for (value, code) in [("1n", Code::DeadlineExceeded), ("1x", Code::InvalidArgument), ("20S", Code::Ok)] {
        let told = send(&server.app(), INFER, body.clone(), &[("grpc-timeout", value)]).await;
        assert_eq!(told.code, code, "{value}: {}", told.words);
    }
    let mut request = encoded("one", &[]);
    let short = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(1)) };
    request.parameters.insert("timeout".into(), short);
    let late = client.model_infer(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    // A client that waits long enough is answered.
    let mut request = Request::new(encoded("one", &[]));
    request.set_timeout(Duration::from_secs(20));
    client.model_infer(request).await.unwrap();
    running.end().await.unwrap().unwrap();
}

/// A request that was accepted is answered, though the server ends meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_answered_at_the_end() {
    let world = world();
    let mut config = world.config();
    // Long enough for the end to come first.
    config.engine.max_wait = Duration::from_millis(500);
    let running = crate::server::start(config, None).await;
    let mut client = client(&running).await;
    client.model_infer(encoded("one", &[])).await.unwrap();
    let asked = tokio::spawn(async move { client.model_infer(encoded("one", &["logits"])).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ended = running.end();
    assert!(asked.await.unwrap().is_ok());
    ended.await.unwrap().unwrap();
}
