//! A compiled client of both doors for pixels, for `load-tests/doors.py`: what Python's clients take is not what a door adds.
//!
//! `doors PORT SIDE ROUNDS ANSWERS` asks a task named `task` for one row at a time, in turns by every door. For each door it
//! prints a line of JSON: what a client waits beyond decoding, queue and run, as the answer tells them, and what a request
//! for nothing takes. Medians of the rounds' medians, milliseconds.

#![allow(clippy::unwrap_used, reason = "a load test that cannot ask has nothing to report")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use mimi_server::grpc::messages::grpc_inference_service_client::GrpcInferenceServiceClient;
use mimi_server::grpc::messages::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use mimi_server::grpc::messages::{ModelInferRequest, ServerLiveRequest};
use serde_json::json;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

const TIMES: [&str; 3] = ["x-mimi-decode-us", "x-mimi-queue-us", "x-mimi-run-us"];

/// Pixels in one datatype.
#[derive(Clone, Copy)]
enum Pixels {
    Bytes,
    Floats,
}

impl Pixels {
    fn datatype(self) -> &'static str {
        match self {
            Self::Bytes => "UINT8",
            Self::Floats => "FP32",
        }
    }

    fn shape(self, side: i64) -> [i64; 4] {
        match self {
            Self::Bytes => [1, side, side, 3],
            Self::Floats => [1, 3, side, side],
        }
    }

    fn values(self, side: i64) -> Vec<u8> {
        let count = (side * side * 3) as usize;
        match self {
            Self::Bytes => (0..count).map(|at| (at * 31) as u8).collect(),
            Self::Floats => {
                (0..count).flat_map(|at| ((at * 31 % 255) as f32 / 255.0).to_le_bytes()).collect()
            }
        }
    }
}

/// One way to ask.
enum Door {
    Rest(SendRequest<Full<Bytes>>, hyper::Request<Full<Bytes>>),
    Grpc(GrpcInferenceServiceClient<Channel>, ModelInferRequest),
}

impl Door {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Rest(..) => "v2 binary",
            Self::Grpc(..) => "gRPC",
        }
    }

    /// What the answer says was spent below the door.
    async fn ask(&mut self) -> Duration {
        match self {
            Self::Rest(sender, request) => {
                let answer = sender.send_request(request.clone()).await.unwrap();
                assert_eq!(answer.status(), 200);
                let told = |name| answer.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
                let below = TIMES.map(told).iter().sum();
                answer.into_body().collect().await.unwrap();
                Duration::from_micros(below)
            }
            Self::Grpc(client, message) => {
                let answer = client.model_infer(message.clone()).await.unwrap();
                let told =
                    |name| answer.metadata().get(name).unwrap().to_str().unwrap().parse::<u64>().unwrap();
                Duration::from_micros(TIMES.map(told).iter().sum())
            }
        }
    }

    async fn nothing(&mut self) {
        match self {
            Self::Rest(sender, _) => {
                let request = hyper::Request::get("/healthz").header("host", "localhost");
                let answer = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
                answer.into_body().collect().await.unwrap();
            }
            Self::Grpc(client, _) => {
                client.server_live(ServerLiveRequest {}).await.unwrap();
            }
        }
    }
}

fn post(pixels: Pixels, side: i64) -> hyper::Request<Full<Bytes>> {
    let values = pixels.values(side);
    let head = json!({
        "inputs": [{
            "name": "pixels",
            "shape": pixels.shape(side),
            "datatype": pixels.datatype(),
            "parameters": {"binary_data_size": values.len()},
        }],
        "outputs": [{"name": "logits", "parameters": {"binary_data": true}}],
    })
    .to_string();
    let request = hyper::Request::post("/v2/models/task/infer")
        .header("host", "localhost")
        .header("content-type", "application/octet-stream")
        .header("inference-header-content-length", head.len());
    request.body(Full::new([head.as_bytes(), &values].concat().into())).unwrap()
}

fn message(pixels: Pixels, side: i64) -> ModelInferRequest {
    let tensor = InferInputTensor {
        name: "pixels".into(),
        datatype: pixels.datatype().into(),
        shape: pixels.shape(side).into(),
        ..Default::default()
    };
    ModelInferRequest {
        model_name: "task".into(),
        inputs: vec![tensor],
        outputs: vec![InferRequestedOutputTensor { name: "logits".into(), ..Default::default() }],
        raw_input_contents: vec![pixels.values(side).into()],
        ..Default::default()
    }
}

async fn rest(port: u16, request: hyper::Request<Full<Bytes>>) -> Door {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Door::Rest(sender, request)
}

async fn grpc(port: u16, message: ModelInferRequest) -> Door {
    let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{port}")).unwrap();
    Door::Grpc(GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap()), message)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Milliseconds beyond what is told, and of a request for nothing: medians of some answers.
async fn round(door: &mut Door, answers: usize) -> [f64; 2] {
    let (mut beyond, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..answers {
        let start = Instant::now();
        door.nothing().await;
        floor.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let below = door.ask().await;
        beyond.push((start.elapsed().as_secs_f64() - below.as_secs_f64()) * 1e3);
    }
    [median(&mut beyond), median(&mut floor)]
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [port, side, rounds, answers] = &given[..] else {
        eprintln!("doors PORT SIDE ROUNDS ANSWERS");
        std::process::exit(2);
    };
    let (port, side) = (port.parse().unwrap(), side.parse().unwrap());
    let (rounds, answers): (usize, usize) = (rounds.parse().unwrap(), answers.parse().unwrap());
    let mut doors = Vec::new();
    for pixels in [Pixels::Bytes, Pixels::Floats] {
        doors.push((rest(port, post(pixels, side)).await, pixels));
        doors.push((grpc(port, message(pixels, side)).await, pixels));
    }
    let mut medians = vec![[const { Vec::new() }; 2]; doors.len()];
    // The first round warms up.
    for number in 0..=rounds {
        for ((door, _), medians) in doors.iter_mut().zip(&mut medians) {
            let told = round(door, answers).await;
            if number > 0 {
                medians.iter_mut().zip(told).for_each(|(all, one)| all.push(one));
            }
        }
    }
    for ((door, pixels), [beyond, floor]) in doors.iter().zip(&mut medians) {
        let name = format!("{} {}", door.protocol(), pixels.datatype());
        println!("{}", json!({"door": name, "beyond": median(beyond), "floor": median(floor)}));
    }
}
