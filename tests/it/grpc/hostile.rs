//! Messages that are wrong, too large, or ask for more than they are.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use mimi_server::grpc::messages::model_infer_request::InferInputTensor;
use mimi_server::grpc::messages::{InferTensorContents, ModelInferRequest};
use prost::Message;
use tonic::Code;
use tower::ServiceExt;

use super::client;
use super::infer::{encoded, outputs, strings, tensor};
use crate::server::{World, image};

pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 3));
    world
}

/// Each wrong message is refused with what is wrong with it, and the connection serves on.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_tensors_are_refused_with_their_numbers() {
    let world = world();
    let running = world.start().await;
    let mut client = client(&running).await;
    let png = image("rgb.png");
    let with = |input: InferInputTensor, raw: Option<Vec<u8>>| ModelInferRequest {
        model_name: "one".into(),
        inputs: vec![input],
        raw_input_contents: raw.into_iter().map(Into::into).collect(),
        ..ModelInferRequest::default()
    };
    let typed = |datatype: &str, shape: &[i64], contents: InferTensorContents| {
        let contents = Some(contents);
        with(InferInputTensor { contents, ..tensor("pixels", datatype, shape) }, None)
    };
    let numbers = |uint_contents: Vec<u32>| InferTensorContents { uint_contents, ..Default::default() };
    let mut cases = vec![
        (with(tensor("image", "BYTES", &[2]), Some(strings(&[&png]))), "2"),
        (with(tensor("image", "BYTES", &[1]), Some(vec![255; 6])), "4294967295"),
        (with(tensor("image", "BYTES", &[1]), Some(vec![1])), "image"),
        (with(tensor("image", "BYTES", &[-1]), Some(strings(&[&png]))), "-1"),
        (with(tensor("image", "BYTES", &[0]), Some(vec![])), "0"),
        (with(tensor("image", "bytes", &[1]), Some(strings(&[&png]))), "bytes"),
        (
            with(tensor("pixels", "UINT8", &[i64::MAX, i64::MAX, 3, 3]), Some(vec![0; 9])),
            "9223372036854775807",
        ),
        (with(tensor("pixels", "UINT8", &[1 << 32, 1 << 31, 2, 3]), Some(vec![0; 9])), "4294967296"),
        (with(tensor("pixels", "UINT8", &[1, 2, 2, 3]), Some(vec![0; 11])), "12 bytes, and 11"),
        (with(tensor("pixels", "UINT8", &[1; 9]), Some(vec![0])), "9 directions"),
        (with(tensor("other", "UINT8", &[1]), Some(vec![0])), "other"),
        (with(tensor("image", "BYTES", &[1]), None), "no values"),
        (typed("UINT8", &[1, 1, 1, 3], numbers(vec![1, 2, 256])), "256"),
        (typed("UINT8", &[1, 1, 1, 3], numbers(vec![1, 2])), "3 bytes, and 2"),
        (typed("FP32", &[1, 1, 1, 3], numbers(vec![1, 2, 3])), "uint_contents"),
        (typed("FP16", &[1, 1, 1, 3], InferTensorContents::default()), "FP16"),
        (with(tensor("image", "BYTES", &[1]), Some(strings(&[b"no image"]))), "image 0"),
    ];
    let mut both = encoded("one", &[]);
    both.inputs[0].contents = Some(InferTensorContents::default());
    cases.push((both, "raw_input_contents"));
    let mut more = encoded("one", &[]);
    more.raw_input_contents.push(vec![1].into());
    cases.push((more, "1 inputs, and 2"));
    cases.push((ModelInferRequest { model_name: "one".into(), ..Default::default() }, "0 inputs"));
    let mut unknown = encoded("one", &[]);
    unknown.outputs = outputs(&["nothing"]);
    cases.push((unknown, "nothing"));
    let mut version = encoded("one", &[]);
    version.model_version = "9".into();
    for (message, words) in cases {
        let refused = client.model_infer(message).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{words}: {refused}");
        assert!(refused.message().contains(words), "{words}: {refused}");
    }
    assert_eq!(client.model_infer(version).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.model_infer(encoded("two", &[])).await.unwrap_err().code(), Code::NotFound);
    for (name, value) in [("x-mimi-timeout-ms", "5"), ("x-mimi-prefix-cache", "of")] {
        let mut request = tonic::Request::new(encoded("one", &[]));
        request.metadata_mut().insert(name, value.parse().unwrap());
        let refused = client.model_infer(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message().contains(name)), (Code::InvalidArgument, true));
    }
    let mut request = tonic::Request::new(encoded("one", &[]));
    request.metadata_mut().insert("x-mimi-affinity", "tenant-7".parse().unwrap());
    let answer = client.model_infer(request).await.unwrap();
    assert!(answer.metadata().contains_key("x-mimi-flops"));
    running.end().await.unwrap().unwrap();
}

/// What came of an answer: its status, and what it says.
pub struct Told {
    pub code: Code,
    pub words: String,
}

/// Sends bytes as a whole body.
pub async fn send(app: &axum::Router, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let told = |headers: &HeaderMap| tonic::Status::from_header_map(headers);
    let status = told(answer.headers()).unwrap_or_else(|| tonic::Status::ok(""));
    Told { code: status.code(), words: status.message().to_owned() }
}

/// A message as a frame.
pub fn framed(message: &[u8], is_compressed: bool) -> Vec<u8> {
    [&[u8::from(is_compressed)][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// A body, its headers, and the status and words of what comes.
type Case<'a> = (Vec<u8>, &'a [(&'a str, &'a str)], Code, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_wrong_are_refused() {
    let world = world();
    let server = world.server().await;
    let (app, limit) = (server.app(), world.config().http.payload_limit);
    let good = encoded("one", &[]).encode_to_vec();
    let mut many = encoded("one", &[]);
    many.inputs = vec![InferInputTensor::default(); 20_000];
    let bomb = {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zipped.write_all(&vec![0; 64 << 20]).unwrap();
        zipped.finish().unwrap()
    };
    assert!(bomb.len() < limit);
    let gzip = [("grpc-encoding", "gzip")];
    let cases: Vec<Case<'_>> = vec![
        (framed(&good, false), &[], Code::Ok, ""),
        (vec![], &[], Code::InvalidArgument, ""),
        (framed(&good, false)[..20].to_vec(), &[], Code::InvalidArgument, ""),
        (framed(&[255; 40], false), &[], Code::InvalidArgument, ""),
        (framed(&good, true), &[], Code::InvalidArgument, "compressed"),
        (framed(&good, true), &gzip, Code::InvalidArgument, "ecompress"),
        (framed(&bomb, true), &gzip, Code::ResourceExhausted, "limit"),
        (framed(&vec![0; limit + 1], false), &[], Code::ResourceExhausted, "bytes"),
        (framed(&many.encode_to_vec(), false), &[], Code::InvalidArgument, "fields"),
        (framed(&good, true), &[("grpc-encoding", "br")], Code::Unimplemented, ""),
    ];
    for (at, (body, headers, code, words)) in cases.into_iter().enumerate() {
        let told = send(&app, INFER, body, headers).await;
        assert_eq!(told.code, code, "case {at}: {}", told.words);
        assert!(told.words.contains(words), "case {at}: {}", told.words);
    }
    let told = send(&app, "/inference.GRPCInferenceService/LogSettings", framed(&[], false), &[]).await;
    assert_eq!(
        (told.code, told.words.contains("LogSettings")),
        (Code::Unimplemented, true),
        "{}",
        told.words
    );
}

/// Who speaks no gRPC is told so in HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn other_content_types_are_no_grpc() {
    let world = world();
    let app = world.server().await.app();
    for kind in ["application/json", "application/grpcx", "text/plain"] {
        let answer = crate::server::post(&app, INFER, kind, "{}").await;
        assert_eq!(answer.status, 415, "{kind}");
    }
}
