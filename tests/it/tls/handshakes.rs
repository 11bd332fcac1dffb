//! What is agreed on, and what a client may hold before it is.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Served;
use super::authority::{Authority, Files};
use super::client::{Client, FOR_EVER, ask_in_clear, ask_on, rest};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_and_of_http_are_served() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::start(files.options()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client { versions: vec![version], ..Client::new(&ca) };
        let mut stream = client.connect(served.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        for _ in 0..3 {
            assert!(ask_on(&mut stream, "/v1/tasks/one").await.unwrap().contains("200 OK"));
        }
        let client = Client { protocols: vec!["h2", "http/1.1"], ..client };
        let stream = client.connect(served.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut http2, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get("https://x/v1/tasks/one").body(Empty::<Bytes>::new()).unwrap();
        let answer = http2.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    }
    // A protocol that the server does not speak is refused, none at all is HTTP/1.1.
    assert!(Client { protocols: vec!["h3"], ..Client::new(&ca) }.connect(served.address).await.is_err());
    let answer = Client { protocols: vec![], ..Client::new(&ca) }.ask(served.address, "/healthz").await;
    assert!(answer.unwrap().contains("200 OK"));
    served.until_closed("tls_handshake", 1.0).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_sends_on() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::start(files.options()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client { versions: vec![version], ..Client::new(&ca) };
        let answer = crate::hold::sends_on(client.connect(served.address).await.unwrap()).await;
        assert!(answer.contains(" 413 ") && answer.contains("image_too_large"), "{answer}");
    }
    served.end().await;
}

/// Runs a program that may be missing; nothing where it is.
fn tool(name: &str, args: &[&str]) -> Option<Output> {
    match Command::new(name).args(args).stdin(Stdio::null()).output() {
        Ok(done) => Some(done),
        Err(_) => {
            eprintln!("*** SKIPPED: {name} is not on this machine");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_served_and_checks_the_certificate() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let clients = Authority::new("clients");
    let served = Served::start(files.with_clients(&clients)).await;
    let [anchor, stranger] = [("anchor.pem", &ca), ("stranger.pem", &Authority::new("others"))]
        .map(|(name, ca)| files.write(name, &ca.pem).display().to_string());
    let pair = clients.client(7, |_| ());
    let [cert, key] = [("c.pem", &pair.cert), ("k.pem", &pair.key)]
        .map(|(name, text)| files.write(name, text).display().to_string());
    let url = format!("https://127.0.0.1:{}/readyz", served.address.port());
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let format = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", protocol, "--cacert"];
        let args = [&format[..], &[&anchor, "--cert", &cert, "--key", &key, &url]].concat();
        let Some(done) = tool("curl", &args) else { return served.end().await };
        assert_eq!(String::from_utf8_lossy(&done.stdout), format!("200 {version}"), "{done:?}");
    }
    let done = tool("curl", &["-sS", "--cacert", &stranger, &url]).unwrap();
    assert!(!done.status.success(), "{done:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_tls_are_refused() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::start(files.options()).await;
    let anchor = files.write("anchor.pem", &ca.pem).display().to_string();
    let address = served.address.to_string();
    for (version, is_served) in [("-tls1_1", false), ("-tls1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let weakest = "DEFAULT:@SECLEVEL=0";
        let args = ["s_client", "-connect", &address, "-CAfile", &anchor, "-cipher", weakest, version];
        let Some(done) = tool("openssl", &args) else { return served.end().await };
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(said.contains("Cipher is (NONE)"), !is_served, "{version}: {said}");
        assert_eq!(said.contains("SSL alert number"), !is_served, "{version}: {said}");
    }
    served.until_closed("tls_handshake", 2.0).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_without_tls_is_told_so() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::start(files.options()).await;
    let answer = ask_in_clear(served.address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("ask https://\n"), "{answer}");
    let length = answer.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
    assert_eq!(answer.split("\r\n\r\n").nth(1).unwrap().len().to_string(), length);
    served.until_closed("tls_handshake", 1.0).await;
    // Whoever only looks whether the port is open is not counted.
    drop(TcpStream::connect(served.address).await.unwrap());
    Client::new(&ca).ask(served.address, "/healthz").await.unwrap();
    served.until_closed("tls_handshake", 1.0).await;
    served.end().await;
}

/// The first bytes of a real handshake.
async fn hello(ca: &Authority) -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(ca);
    let mut bytes = vec![0; 4096];
    tokio::select! {
        _ = client.connect(address) => unreachable!("nobody answers"),
        read = async { listener.accept().await.unwrap().0.read(&mut bytes).await.unwrap() } => bytes.truncate(read),
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_half_handshake_is_closed_at_the_time_for_headers() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::with(files.options(), |c| c.connections.header = SHORT).await;
    let hello = hello(&ca).await;
    let parts = [&hello[..0], &hello[..1], &hello[..5], &hello[..hello.len() - 1], &hello[..]];
    for part in parts {
        let mut socket = TcpStream::connect(served.address).await.unwrap();
        socket.write_all(part).await.unwrap();
        rest(&mut socket).await;
    }
    assert_eq!(served.closed("header_timeout").await, 5.0);
    // So is a half header after a handshake.
    let mut sealed = Client::new(&ca).connect(served.address).await.unwrap();
    sealed.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
    let closed = tokio::time::timeout(FOR_EVER, sealed.read(&mut [0])).await.unwrap();
    assert!(closed.is_err() || closed.is_ok_and(|read| read == 0));
    assert_eq!(served.closed("header_timeout").await, 6.0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_half_handshakes_do_not_keep_others_out() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::with(files.options(), |c| {
        c.connections.connections = Some(32);
        c.connections.header = FOR_EVER * 10;
    })
    .await;
    let hello = hello(&ca).await;
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut socket = TcpStream::connect(served.address).await.unwrap();
        // Those with a whole hello wait with the server's answer unread.
        let part = if number % 2 == 0 { &hello[..hello.len() / 2] } else { &hello[..] };
        socket.write_all(part).await.unwrap();
        stalled.push(socket);
        if number % 10 == 9 {
            let answer = Client::new(&ca).ask(served.address, "/v1/tasks/one").await;
            assert!(answer.is_some_and(|answer| answer.contains("200 OK")), "after {number}");
        }
    }
    assert!(served.closed("crowded_header").await >= 160.0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_limits_of_a_connection_hold_behind_tls() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let limits = |c: &mut mimi_server::serve::Config| {
        (c.connections.idle, c.connections.write) = (SHORT, SHORT);
    };
    let served = Served::with(files.options(), limits).await;
    let mut idle = Client::new(&ca).connect(served.address).await.unwrap();
    assert!(ask_on(&mut idle, "/healthz").await.unwrap().contains("200 OK"));
    // Some 40 MB of answers: more than sockets and TLS buffer.
    let mut reader = Client::new(&ca).connect(served.address).await.unwrap();
    let many = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(30);
    reader.write_all(many.as_bytes()).await.unwrap();
    let both = async {
        while served.closed("idle_timeout").await < 1.0 || served.closed("write_timeout").await < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FOR_EVER, both).await.expect("a connection stays");
    assert!(ask_on(&mut idle, "/healthz").await.is_none());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_harm_the_server() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server());
    let served = Served::with(files.options(), |c| c.connections.header = SHORT).await;
    let hello = hello(&ca).await;
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 1..2000);
    let flips = proptest::collection::vec((0..hello.len(), any::<u8>()), 1..8);
    let mut tries = Vec::new();
    for number in 0..128 {
        let mut sent = hello.clone();
        if number % 2 == 0 {
            sent = bytes.new_tree(&mut runner).unwrap().current();
        } else {
            flips.new_tree(&mut runner).unwrap().current().iter().for_each(|(at, byte)| sent[*at] = *byte);
        }
        let address = served.address;
        tries.push(tokio::spawn(async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let _ = socket.write_all(&sent).await;
            rest(&mut socket).await;
        }));
    }
    for one in tries {
        one.await.unwrap();
    }
    assert!(Client::new(&ca).ask(served.address, "/healthz").await.unwrap().contains("200 OK"));
    served.until(|| served.series("mimi_connections"), |open| open == 1.0).await;
    served.end().await;
}
