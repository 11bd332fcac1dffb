//! Floods of a whole process, by every door: each is refused or bounded, others are served, and memory stays flat.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use mimi_server::grpc::messages::model_infer_request::InferRequestedOutputTensor;
use mimi_server::grpc::messages::{InferParameter, infer_parameter::ParameterChoice};
use prost::Message;
use serde_json::{Value, json};

use crate::classify::base64;
use crate::grpc::hostile::{INFER, framed};
use crate::grpc::infer::encoded;
use crate::program::Program;
use crate::server::{World, image};

/// Classes of the large pack, the most that a pack may have, and how many labels are asked for.
const LABELS: usize = 100_000;
/// How much more memory the process may hold after the second round of everything, bytes.
const FLAT: u64 = 24 << 20;
/// How much the process may ever have held more than before, bytes. Answers of 100,000 labels are the largest.
const PEAK: u64 = 160 << 20;
/// Longest wait for an answer or an end.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Frames of HTTP/2 (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame((kind, flags): (u8, u8), stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A text of HPACK without Huffman's code (RFC 7541, section 5.2).
fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match text.len() {
        length @ 0..127 => out.push(length as u8),
        mut rest => {
            out.push(127);
            rest -= 127;
            while rest >= 128 {
                out.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            out.push(rest as u8);
        }
    }
    out.extend(text.as_bytes());
    out
}

/// A header that no table remembers.
fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

fn head(path: &str) -> Vec<u8> {
    let all = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    all.iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// Sends to a connection of HTTP/2 what it takes, and waits for its end. Says whether all was taken.
fn flood(address: SocketAddr, pieces: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(FOR_EVER)).unwrap();
    let begun = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame((SETTINGS, 0), 0, &[])].concat();
    stream.write_all(&begun).unwrap();
    let mut is_taken = true;
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            is_taken = false;
            break;
        }
    }
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server keeps the connection");
    }
    is_taken
}

/// Requests that are cancelled at once (CVE-2023-44487).
fn rapid_resets(address: SocketAddr) {
    for path in ["/v1/tasks/one/classify", "/v2/models/one/infer", INFER] {
        let (head, cancel) = (head(path), 8_u32.to_be_bytes());
        let one = |at: u32| {
            let stream = 2 * at + 1;
            [frame((HEADERS, END_HEADERS), stream, &head), frame((RST_STREAM, 0), stream, &cancel)].concat()
        };
        let all: Vec<u8> = (0..50_000).flat_map(one).collect();
        flood(address, all.chunks(1 << 20).map(<[u8]>::to_vec));
    }
}

/// A header that never ends (CVE-2024-27316), in large pieces and in empty ones.
fn endless_headers(address: SocketAddr) {
    for path in ["/v1/tasks/one/classify", "/v2/models/one/infer", INFER] {
        let begin = frame((HEADERS, END_STREAM), 1, &head(path));
        let large = frame((CONTINUATION, 0), 1, &header("x-bomb", &"x".repeat(16_000)));
        let pieces = std::iter::once(begin.clone()).chain(std::iter::repeat_n(large, 4096));
        assert!(!flood(address, pieces), "64 MiB of a header are taken");
        let none = frame((CONTINUATION, 0), 1, &[]).repeat(100_000);
        flood(address, [begin, none].into_iter());
    }
}

/// A header that is remembered once and named 16,000 times: 64 MiB in 20 KiB.
fn header_bomb(address: SocketAddr) {
    for path in ["/v1/tasks/one/classify", "/v2/models/one/infer", INFER] {
        let remembered = [vec![0x40], text("x-bomb"), text(&"x".repeat(4000))].concat();
        let block = [head(path), remembered, vec![0xbe; 16_000]].concat();
        let (first, rest) = block.split_at(12_000);
        let whole =
            [frame((HEADERS, END_STREAM), 1, first), frame((CONTINUATION, END_HEADERS), 1, rest)].concat();
        // Nothing is asked on the connection any more, so it ends when the server is asked to.
        let bye = frame((7, 0), 0, &[0; 8]);
        flood(address, [whole, bye].into_iter());
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

/// The same by HTTP/1.1.
fn wide_headers(program: &Program) {
    for path in ["/v1/tasks/one/classify", "/v2/models/one/infer"] {
        for headers in [format!("x-bomb: {}\r\n", "x".repeat(60_000)).repeat(2), "a: b\r\n".repeat(5_000)] {
            let answer = program.ask("POST", path, &headers, b"");
            assert!(matches!(status(&answer), 400 | 431), "{path}: {answer:.200}");
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(bytes).unwrap();
    zipped.finish().unwrap()
}

/// 64 MiB in 300 KiB.
fn bombs(program: &Program, bomb: &[u8]) {
    for path in [
        "/v1/tasks/one/classify",
        "/v1/classify",
        "/v1/embed",
        "/v2/models/one/infer",
        "/v2/repository/index",
    ] {
        let answer =
            program.ask("POST", path, "content-encoding: gzip\r\ncontent-type: application/json\r\n", bomb);
        assert_eq!(status(&answer), 413, "{path}: {answer:.300}");
    }
    assert_eq!(by_grpc(program, framed(bomb, true)).0, Some(8), "resource exhausted");
}

/// The status of gRPC for a body, and how long the answer's body is.
fn by_grpc(program: &Program, body: Vec<u8>) -> (Option<u16>, usize) {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = TokioIo::new(tokio::net::TcpStream::connect(program.address).await.unwrap());
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await;
        let (mut client, connection) = shaken.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::post(format!("http://x{INFER}"));
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", "gzip");
        let answer = client
            .send_request(request.body(Full::<axum::body::Bytes>::new(body.into())).unwrap())
            .await
            .unwrap();
        let told = |headers: &hyper::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
        let early = told(answer.headers());
        let body = answer.into_body().collect().await.unwrap();
        let late = body.trailers().and_then(told);
        (early.or(late), body.to_bytes().len())
    })
}

fn v2(program: &Program, body: &Value) -> String {
    program.ask("POST", "/v2/models/many/infer", "", body.to_string().as_bytes())
}

/// All labels of a pack of 100,000, by each door.
fn many_labels(program: &Program) {
    let answer =
        program.ask("POST", &format!("/v1/tasks/many/classify?top_k={LABELS}"), "", &image("rgb.png"));
    assert_eq!((status(&answer), answer.matches("\"label\"").count()), (200, LABELS));
    let asked = |output: Value| {
        let mut body = crate::oip::asked(&image("rgb.png"), &[]);
        body["outputs"] = json!([output]);
        body
    };
    // More than there are is all there are.
    let classes = asked(json!({"name": "probabilities", "parameters": {"classification": 10 * LABELS}}));
    let answer = v2(program, &classes);
    assert_eq!((status(&answer), answer.matches(":class-").count()), (200, LABELS));
    let mut labels = asked(json!({"name": "labels"}));
    labels["parameters"] = json!({"top_k": LABELS});
    let answer = v2(program, &labels);
    assert_eq!((status(&answer), answer.matches("\"class-").count()), (200, LABELS));
    let mut message = encoded("many", &[]);
    let value = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(LABELS as i64)) };
    let parameters = [("classification".to_owned(), value)].into_iter().collect();
    message.outputs = vec![InferRequestedOutputTensor { name: "probabilities".into(), parameters }];
    let (code, bytes) = by_grpc(program, framed(&message.encode_to_vec(), false));
    assert!(code == Some(0) && bytes > 10 * LABELS, "{code:?}, {bytes} bytes");
}

/// Lists of 100,000 where a few make sense.
fn long_lists(program: &Program) {
    let picture = base64(&image("rgb.png"));
    let names: Vec<String> = (0..LABELS).map(|i| format!("t{i}")).collect();
    let json = "content-type: application/json\r\n";
    for body in
        [json!({"tasks": names, "image": picture}), json!({"tasks": ["one"], "images": vec![""; LABELS]})]
    {
        let answer = program.ask("POST", "/v1/classify", json, body.to_string().as_bytes());
        assert!(matches!(status(&answer), 400 | 413), "{answer:.300}");
    }
    let with = |field: &str, value: Value| {
        let mut body = crate::oip::asked(&image("rgb.png"), &[]);
        body[field] = value;
        body
    };
    let output = |name: &String| json!({"name": name});
    let pairs: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
    for body in [
        with("outputs", names.iter().map(output).collect()),
        with("outputs", vec![json!({"name": "labels"}); LABELS].into()),
        with("parameters", pairs.into()),
        with(
            "inputs",
            vec![json!({"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}); LABELS / 4]
                .into(),
        ),
        with(
            "inputs",
            json!([{"name": "image", "datatype": "BYTES", "shape": vec![1; LABELS], "data": [picture]}]),
        ),
    ] {
        let answer = v2(program, &body);
        assert!(matches!(status(&answer), 400 | 413), "{answer:.300}");
    }
    let mut message = encoded("one", &[]);
    let output = |name: String| InferRequestedOutputTensor { name, ..Default::default() };
    message.outputs = names.into_iter().map(output).collect();
    let code = by_grpc(program, framed(&message.encode_to_vec(), false)).0;
    assert!(matches!(code, Some(3 | 8)), "{code:?}");
}

/// Bytes of memory that a process holds, or has held at most.
fn memory(program: &Program, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// One process meets everything twice: what the second round adds is what would add up. It takes seconds, most of them for
/// 100,000 labels.
#[test]
fn floods_are_refused_and_leave_memory_flat() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    world.publish("many", &world.tiny.contents(2, &[], LABELS));
    let variables = [("MIMI_PAYLOAD_LIMIT", "4"), ("MALLOC_ARENA_MAX", "2")];
    let program = Program::start(&world, &variables);
    let bomb = gzip(&vec![0; 64 << 20]);
    program.classify("");
    let before = memory(&program, "VmRSS");
    let round = || {
        rapid_resets(program.address);
        endless_headers(program.address);
        header_bomb(program.address);
        wide_headers(&program);
        bombs(&program, &bomb);
        long_lists(&program);
        many_labels(&program);
        program.classify("");
        memory(&program, "VmRSS")
    };
    let (first, second) = (round(), round());
    let most = memory(&program, "VmHWM");
    let told = [before, first, second, most].map(|bytes| bytes >> 20);
    println!("before, after each round, at most, MiB: {told:?}");
    assert!(second <= first + FLAT, "{told:?}");
    assert!(most <= before + PEAK, "{told:?}");
    program.end();
}
