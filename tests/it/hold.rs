//! What a client may hold, and that others are served meanwhile. Times are limits set short and waits without a bound of
//! their own, so that a slow machine only takes longer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mimi_server::image::{Limits, footprint};
use mimi_server::serve::{Config, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Running, World, classify, image, start};
use crate::support::fixtures;

/// Longer than any limit these tests set; what takes so long is taken to last for ever.
const FOR_EVER: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);
/// Long enough for some requests.
const NOTICE: Duration = Duration::from_secs(1);

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    world
}

/// A configuration under which nothing ends by itself, changed.
fn config(world: &World, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = world.config();
    let limits = &mut config.connections;
    (limits.header, limits.idle, limits.write) = (FOR_EVER * 10, FOR_EVER * 10, FOR_EVER * 10);
    change(&mut config);
    config
}

async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// All that comes until the server closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(FOR_EVER, socket.read_to_end(&mut all)).await;
    // A reset is an end as well.
    drop(read.expect("the server keeps the connection"));
    String::from_utf8_lossy(&all).into_owned()
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    rest(&mut connect(address, &request).await).await
}

async fn closed(address: SocketAddr, reason: &str) -> f64 {
    let text = ask(address, "/metrics").await;
    let series = format!("mimi_connections_closed_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0.0, |n| n.parse().unwrap())
}

async fn ended(running: Running) {
    tokio::time::timeout(FOR_EVER, running.end()).await.expect("the server does not end").unwrap().unwrap();
}

const HALF: &str = "GET /healthz HTTP/1.1\r\nHo";

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_half_sent_header_is_closed_in_time() {
    let world = world();
    let running = start(config(&world, |c| c.connections.header = SHORT), None).await;
    let address = running.address;
    for text in ["", "G", HALF, "PRI * HTTP/2.0\r\n", "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\n"] {
        assert_eq!(rest(&mut connect(address, text).await).await, "", "{text:?}");
    }
    assert_eq!(closed(address, "header_timeout").await, 5.0);
    // The second header of a connection is no different.
    let mut second = connect(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut first = [0; 12];
    second.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    second.write_all(HALF.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut second).await.matches("200 OK").count(), 0);
    assert_eq!(closed(address, "header_timeout").await, 6.0);
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_half_sent_header_does_not_hold_up_the_end() {
    let world = world();
    let running = start(config(&world, |c| c.exit_timeout = FOR_EVER * 10), None).await;
    let address = running.address;
    let mut stalled = connect(address, HALF).await;
    let mut idle = connect(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    ask(address, "/healthz").await;
    ended(running).await;
    assert_eq!(rest(&mut stalled).await, "");
    assert!(rest(&mut idle).await.contains("200 OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_open_requests_end_at_the_exit_timeout() {
    let world = world();
    let running = start(config(&world, |c| c.exit_timeout = SHORT), None).await;
    let slow = "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab";
    let mut slow = connect(running.address, slow).await;
    ask(running.address, "/healthz").await;
    ended(running).await;
    assert_eq!(rest(&mut slow).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_while_the_end_is_announced_readiness_is_down_and_requests_are_taken() {
    let world = world();
    let running = start(config(&world, |c| c.exit_notice = NOTICE), None).await;
    let address = running.address;
    assert!(ask(address, "/readyz").await.contains("200 OK"));
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut kept = connect(address, request).await;
    let (begun, ending) = (Instant::now(), running.end());
    while ask(address, "/readyz").await.contains("200 OK") {
        assert!(begun.elapsed() < NOTICE, "readiness stays up");
    }
    for path in ["/v1/tasks/one", "/healthz"] {
        assert!(ask(address, path).await.contains("200 OK"), "{path}");
    }
    // Whoever keeps a connection is told to open another, elsewhere.
    kept.write_all(request.as_bytes()).await.unwrap();
    assert!(rest(&mut kept).await.contains("connection: close"));
    ending.await.unwrap().unwrap();
    assert!(begun.elapsed() >= NOTICE);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_connection_without_requests_is_closed() {
    let world = world();
    let running = start(config(&world, |c| c.connections.idle = SHORT), None).await;
    let mut idle = connect(running.address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(rest(&mut idle).await.contains("200 OK"));
    assert_eq!(closed(running.address, "idle_timeout").await, 1.0);
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_stalled_clients_make_room_for_those_that_ask() {
    let world = world();
    let running = start(config(&world, |c| c.connections.connections = Some(4)), None).await;
    let address = running.address;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        stalled.push(connect(address, HALF).await);
        assert!(ask(address, "/v1/tasks/one").await.contains("200 OK"));
    }
    assert!(closed(address, "crowded_header").await >= 8.0);
    // So do slow bodies.
    let slow = "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab";
    for _ in 0..12 {
        stalled.push(connect(address, slow).await);
        assert!(ask(address, "/v1/tasks/one").await.contains("200 OK"));
    }
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_slow_body_holds_no_place_and_ends() {
    let world = world();
    let change = |c: &mut Config| {
        c.http.body_timeout = SHORT * 5;
        c.engine.queue_limit = 2;
    };
    let running = start(config(&world, change), None).await;
    let head = "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let slow = format!("{head}Content-Length: 9\r\n\r\nab");
    let mut slow = [connect(running.address, &slow).await, connect(running.address, &slow).await];
    let picture = image("rgb.png");
    let mut quick =
        connect(running.address, &format!("{head}Content-Length: {}\r\n\r\n", picture.len())).await;
    quick.write_all(&picture).await.unwrap();
    let answer = rest(&mut quick).await;
    assert!(answer.contains("200 OK"), "{answer}");
    for slow in &mut slow {
        let answer = rest(slow).await;
        assert!(answer.contains(" 408 ") && answer.contains("body_timeout"), "{answer}");
    }
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_client_that_does_not_read_its_answer_is_closed() {
    let world = world();
    let running = start(config(&world, |c| c.connections.write = SHORT), None).await;
    // Some 40 MB of answers: more than sockets buffer.
    let many = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(30);
    let reader = connect(running.address, &many).await;
    while closed(running.address, "write_timeout").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(reader);
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_requests_hold_no_more_memory_than_allowed() {
    let world = world();
    let bytes = image("rgb.png").len() as u64;
    for (limit, status, code) in [(bytes - 1, 429, "memory_full"), (bytes, 200, "")] {
        let config = config(&world, |c| c.service.bytes_in_flight = limit);
        let app = Server::build(config).await.unwrap().app();
        for _ in 0..3 {
            let answer = classify(&app, "one", image("rgb.png")).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
            assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_health_answers_on_a_port_of_its_own_whatever_clients_hold() {
    let world = world();
    let admin = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let health = admin.local_addr().unwrap();
    let running = start(config(&world, |c| c.connections.connections = Some(2)), Some(admin)).await;
    ask(running.address, "/healthz").await;
    let _held = [connect(running.address, HALF).await, connect(running.address, HALF).await];
    assert!(ask(health, "/healthz").await.contains("200 OK"));
    assert!(ask(health, "/readyz").await.contains("200 OK"));
    assert!(ask(health, "/metrics").await.contains("mimi_connections "));
    assert!(ask(health, "/v1/tasks").await.contains("404 Not Found"));
    ended(running).await;
}

/// A client of HTTP/2 by prior knowledge.
async fn http2<B>(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<B>
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_http2_is_served_and_bounded() {
    let world = world();
    let change = |c: &mut Config| (c.connections.idle, c.connections.streams) = (SHORT, 3);
    let running = start(config(&world, change), None).await;
    let mut client = http2::<Empty<Bytes>>(running.address).await;
    let request = |path: &str| hyper::Request::get(format!("http://x{path}")).body(Empty::new()).unwrap();
    let answer = client.send_request(request("/v1/tasks/one")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    let shown = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&shown).contains("\"one\""));
    let wide = hyper::Request::get("http://x/healthz").header("x-wide", "x".repeat(100 << 10));
    let refused = client.send_request(wide.body(Empty::new()).unwrap()).await;
    assert!(refused.map_or(true, |answer| answer.status() == 431), "a header of 100 KiB is taken");
    // Without requests it is closed.
    while closed(running.address, "idle_timeout").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(client.send_request(request("/healthz")).await.is_err());
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_slow_bodies_over_http2_end() {
    let world = world();
    let running = start(config(&world, |c| c.http.body_timeout = SHORT), None).await;
    let never = || StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    let mut client = http2(running.address).await;
    let post = || hyper::Request::post("http://x/v1/tasks/one/classify").body(never()).unwrap();
    let asked: Vec<_> = (0..20).map(|_| client.send_request(post())).collect();
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap().status().as_u16(), 408);
    }
    ended(running).await;
}

/// What a client sends that reads nothing before it has sent all, and what it reads then.
pub async fn sends_on(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let head = "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        stream.write_all(&body).await.unwrap();
    }
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(FOR_EVER, stream.read_to_end(&mut answer)).await;
    read.expect("the server keeps the connection").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_an_early_answer_reaches_a_client_that_sends_on() {
    let world = world();
    let running = world.start().await;
    let answer = sends_on(TcpStream::connect(running.address).await.unwrap()).await;
    assert!(answer.contains(" 413 ") && answer.contains("image_too_large"), "{answer}");
    ended(running).await;
}

/// It takes two seconds: so long may a client be silent.
#[tokio::test(flavor = "multi_thread")]
async fn f6_a_client_that_falls_silent_after_an_early_answer_is_closed() {
    let world = world();
    let running = world.start().await;
    let head = "POST /v1/tasks/one/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\nx";
    let mut silent = connect(running.address, head).await;
    assert!(rest(&mut silent).await.contains(" 413 "));
    // Nothing more is written; the place is given back when the server stops to listen.
    let started = std::time::Instant::now();
    while !ask(running.address, "/metrics").await.contains("\nmimi_connections 1\n") {
        assert!(started.elapsed() < FOR_EVER, "the connection stays open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(silent);
    ended(running).await;
}

#[test]
fn f6_what_decoding_takes_is_known_from_the_header() {
    let limits = Limits::default();
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("images")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let Ok(decoded) = mimi_server::image::decode(&bytes, &limits) else { continue };
        let pixels = u64::from(decoded.width()) * u64::from(decoded.height());
        let found = footprint(&bytes, &limits);
        // A TIFF's header is not looked for.
        let most = if bytes.starts_with(b"II") || bytes.starts_with(b"MM") { u64::MAX } else { pixels * 19 };
        assert!((pixels * 9..=most).contains(&found), "{}: {found} of {pixels} pixels", path.display());
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}
