//! Spans as a collector gets them, from the program as it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;

use crate::program::Program;
use crate::server::World;

/// OTLP's messages as the test reads them, by their numbers.
mod otlp {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub trace_state: String,
        #[prost(bytes = "vec", tag = "4")]
        pub parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(int32, tag = "6")]
        pub kind: i32,
        #[prost(fixed64, tag = "7")]
        pub start: u64,
        #[prost(fixed64, tag = "8")]
        pub end: u64,
        #[prost(message, repeated, tag = "9")]
        pub attributes: Vec<KeyValue>,
        #[prost(message, repeated, tag = "13")]
        pub links: Vec<Link>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Link {
        #[prost(bytes = "vec", tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub span_id: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct KeyValue {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct AnyValue {
        #[prost(string, optional, tag = "1")]
        pub text: Option<String>,
        #[prost(int64, optional, tag = "3")]
        pub int: Option<i64>,
    }
}

type Spans = Arc<Mutex<Vec<otlp::Span>>>;

/// A collector in this process: OTLP by HTTP.
struct Collector {
    address: SocketAddr,
    spans: Spans,
    /// What came before a body, of each post.
    heads: Arc<Mutex<Vec<String>>>,
    resource: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let made = Self { address, spans: Spans::default(), heads: Arc::default(), resource: Arc::default() };
        let (spans, heads, resource) =
            (Arc::clone(&made.spans), Arc::clone(&made.heads), Arc::clone(&made.resource));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (spans, heads, resource) =
                    (Arc::clone(&spans), Arc::clone(&heads), Arc::clone(&resource));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    while let Some((head, body)) = post(&mut stream) {
                        heads.lock().unwrap().push(head);
                        let request = otlp::Request::decode(&body[..]).unwrap();
                        for of in request.resource_spans {
                            let pairs = of.resource.unwrap_or_default().attributes.into_iter();
                            let text = |pair: otlp::KeyValue| Some((pair.key, pair.value?.text?));
                            resource.lock().unwrap().extend(pairs.filter_map(text));
                            let all = of.scope_spans.into_iter().flat_map(|of| of.spans);
                            spans.lock().unwrap().extend(all);
                        }
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    }
                });
            }
        });
        made
    }

    fn spans(&self) -> Vec<otlp::Span> {
        self.spans.lock().unwrap().clone()
    }
}

/// A post's head, in small letters, and its body.
fn post(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some((head, body))
}

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    world
}

/// Spans that were lost, as the server counts.
fn lost(program: &Program) -> f64 {
    let text = program.ask("GET", "/metrics", "", b"");
    let line = text.lines().find_map(|line| line.strip_prefix("mimi_trace_spans_dropped_total "));
    line.unwrap().parse().unwrap()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request's spans hang together, from its client's span to the head, and its batch is linked with its row.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_request_hang_together() {
    let (world, collector) = (world(), Collector::start());
    let endpoint = format!("http://{}", collector.address);
    let program = Program::start(
        &world,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "tested"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=a%20b"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret"),
        ],
    );
    let place = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let answer =
        program.classify(&format!("{place}tracestate: rojo=1, congo=t61\r\ntracestate: third=x\r\n"));
    assert!(answer.contains("\r\ntracestate: rojo=1,congo=t61,third=x\r\n"), "{answer}");
    // What is no list, or of no trace, is not passed on.
    assert!(!program.classify("tracestate: rojo=1\r\n").contains("tracestate"));
    let wrong = format!("traceparent: 00-{}-{SPAN}-01\r\ntracestate: rojo\r\n", TRACE.replace('4', "5"));
    assert!(!program.classify(&wrong).contains("tracestate"));
    let own = answer.split("traceparent: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    program.end();
    let spans = collector.spans();
    let ours: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
    let named = |name: &str| {
        *ours.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {ours:#?}"))
    };
    let request = named("request");
    assert_eq!((hex(&request.parent_span_id).as_str(), request.kind), (SPAN, 2));
    assert_eq!(own, format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    let row = named("row");
    for (name, above) in
        [("admit", request), ("decode", request), ("row", request), ("queue", row), ("head", row)]
    {
        let span = named(name);
        assert_eq!(hex(&span.parent_span_id), hex(&above.span_id), "{name}");
        assert!(span.start <= span.end && span.end <= request.end, "{name} ends after its request");
        assert!(span.start + 1_000_000 >= request.start, "{name} begins before its request");
    }
    assert_eq!(ours.len(), 6, "{ours:#?}");
    assert!(ours.iter().all(|span| span.trace_state == "rojo=1,congo=t61,third=x"), "{ours:#?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE || span.trace_state.is_empty()));
    let batch = spans.iter().find(|span| span.name == "batch").unwrap();
    let link = |span: &otlp::Span| (span.trace_id.clone(), span.span_id.clone());
    let links = |span: &otlp::Span| -> BTreeSet<_> {
        span.links.iter().map(|link| (link.trace_id.clone(), link.span_id.clone())).collect()
    };
    assert!(links(batch).contains(&link(row)) && links(row).contains(&link(batch)));
    let run = spans.iter().find(|span| span.name == "run").unwrap();
    assert_eq!((&run.trace_id, &run.parent_span_id), (&batch.trace_id, &batch.span_id));
    let status = request.attributes.iter().find(|pair| pair.key == "http.response.status_code").unwrap();
    assert_eq!(status.value.as_ref().unwrap().int, Some(200));
    let resource = collector.resource.lock().unwrap().clone();
    assert_eq!((&*resource["service.name"], &*resource["deployment.environment"]), ("tested", "a b"));
    let heads = collector.heads.lock().unwrap().clone();
    assert!(
        heads.iter().all(|head| head.starts_with("post /v1/traces ") && head.contains("x-key: secret")),
        "{heads:?}"
    );
}

/// What is not sampled is not sent, and health and metrics never are.
#[tokio::test(flavor = "multi_thread")]
async fn only_sampled_requests_are_sent() {
    let (world, collector) = (world(), Collector::start());
    let endpoint = format!("http://{}", collector.address);
    let program = Program::start(
        &world,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_TRACES_SAMPLER", "parentbased_always_off")],
    );
    program.classify("");
    let told = program.classify(&format!("traceparent: 00-{TRACE}-{SPAN}-00\r\n"));
    assert!(told.contains(&format!("traceparent: 00-{TRACE}-")), "{told}");
    program.classify(&format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n"));
    // The other door too.
    let address = format!("http://{}", program.address);
    let channel = tonic::transport::Endpoint::try_from(address).unwrap().connect().await.unwrap();
    let mut request = tonic::Request::new(crate::grpc::infer::encoded("one", &[]));
    let place = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
    request.metadata_mut().insert("traceparent", place);
    let answer = crate::grpc::Client::new(channel).model_infer(request).await.unwrap();
    assert!(
        answer.metadata().get("traceparent").unwrap().to_str().unwrap().starts_with(&format!("00-{TRACE}-"))
    );
    assert!(
        !program
            .ask("GET", "/metrics", &format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n"), b"")
            .contains("traceparent")
    );
    program.end();
    let spans = collector.spans();
    for name in ["request", "admit", "decode", "row", "queue", "head", "batch", "run"] {
        assert_eq!(spans.iter().filter(|span| span.name == name).count(), 2, "{name}: {spans:#?}");
    }
}

/// Without a collector there is no `traceparent`, one that does not answer slows nothing down, and a wrong one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_may_be_away_or_wrong() {
    let world = world();
    let program = Program::start(&world, &[]);
    assert!(!program.classify(&format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n")).contains("traceparent"));
    program.end();
    let program = Program::start(
        &world,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_BSP_SCHEDULE_DELAY", "10")],
    );
    (0..5).for_each(|_| assert!(program.classify("").contains("traceparent")));
    // What is lost is counted: six spans of each request, and those of batches.
    let started = Instant::now();
    while lost(&program) < 30.0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{} spans were lost", lost(&program));
        std::thread::sleep(Duration::from_millis(20));
    }
    program.end();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command.args(["serve", "--port", "0"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let output = command.env(name, value).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(name), "{name}: {told}");
    }
    // What a cluster sets for all stops nothing where nothing is traced.
    Program::start(&world, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "x")]).end();
}

/// Every request has its line, with what it was and how it ended, and nothing of its query.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_written() {
    use mimi_server::journal::{Found, files, lines};
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let folder = dir.path().to_str().unwrap();
    let program = Program::start(&world, &[("MIMI_ACCESS_LOG", folder)]);
    program.classify("x-request-id: order-7\r\n");
    program.ask("POST", "/v1/tasks/gone/classify?top_k=77", "", b"x");
    program.end();
    let mut all: Vec<serde_json::Value> = Vec::new();
    for (path, _) in files(dir.path(), mimi_server::access::FAMILY).unwrap() {
        lines(&path, 0, |found| match found {
            Found::Whole(line) => all.push(serde_json::from_slice(line).unwrap()),
            other => panic!("{other:?}"),
        })
        .unwrap();
    }
    let of = |path: &str| {
        all.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}: {all:?}"))
    };
    let answered = of("/v1/tasks/one/classify");
    assert_eq!((&answered["tasks"], answered.get("tenant")), (&serde_json::json!(["one"]), None));
    assert_eq!(of("/v1/tasks/gone/classify")["tasks"], serde_json::json!(["gone"]));
    assert_eq!((&answered["id"], &answered["status"]), (&"order-7".into(), &200.into()));
    assert_eq!((&answered["method"], &answered["address"]), (&"POST".into(), &"127.0.0.1".into()));
    assert!(answered["us"].as_u64().unwrap() > 0 && answered["time"].is_string(), "{answered}");
    assert_eq!(of("/v1/tasks/gone/classify")["status"], 404);
    assert!(!format!("{all:?}").contains("top_k"), "{all:?}");
    assert!(all.iter().any(|line| line["path"] == "/readyz"));
    // A part of nothing is nothing.
    let (none, world) = (tempfile::tempdir().unwrap(), self::world());
    let folder = none.path().to_str().unwrap();
    let program = Program::start(&world, &[("MIMI_ACCESS_LOG", folder), ("MIMI_ACCESS_LOG_SAMPLE", "0")]);
    program.classify("");
    program.end();
    assert!(files(none.path(), mimi_server::access::FAMILY).unwrap().is_empty());
}
