//! HTTP as clients are used to it: compressed bodies, other origins, names of requests, slashes, HEAD, OpenMetrics.

use std::io::{Read, Write};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::server::{Answer, World, get, image, send};

const CLASSIFY: &str = "/v1/tasks/one/classify";

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    world
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `head -c 4000000 /dev/zero | zstd -19 --long=27`: 4 MB of zeros, in a window that is larger than allowed.
fn zstd_with_a_large_window() -> Vec<u8> {
    // Magic; a descriptor without content size; a window of 2^27 bytes; a last RLE block of 100 zeros.
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3];
    [&header[..], &[0x23, 0x03, 0x00, 0x00]].concat()
}

/// Raw blocks in a frame of one segment: what any decoder reads.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 1 << 16);
    let length = (bytes.len() - 256) as u16;
    let head = ((bytes.len() as u32) << 3) | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x60], &length.to_le_bytes()[..], &head.to_le_bytes()[..3], bytes].concat()
}

async fn encoded(app: &Router, encoding: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(CLASSIFY).header("content-encoding", encoding);
    send(app, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_read_as_plain_ones() {
    let world = world();
    let (app, png) = (world.server().await.app(), image("rgb.png"));
    let plain = encoded(&app, "identity", png.clone()).await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    for (encoding, body) in
        [("gzip", gzip(&png)), ("x-gzip", gzip(&png)), ("GZIP", gzip(&png)), ("zstd", zstd(&png))]
    {
        let answer = encoded(&app, encoding, body).await;
        assert_eq!((answer.status, &answer.body), (plain.status, &plain.body), "{encoding}");
    }
    for encoding in ["br", "deflate", "gzip, zstd", ""] {
        let refused = encoded(&app, encoding, png.clone()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (415, "unsupported_media_type".into()),
            "{encoding}"
        );
        assert!(refused.text().contains("expected gzip, zstd or identity"), "{}", refused.text());
    }
    for (encoding, body) in
        [("gzip", png.clone()), ("zstd", png.clone()), ("gzip", gzip(&png)[..40].to_vec())]
    {
        let refused = encoded(&app, encoding, body).await;
        assert_eq!(refused.status, 400, "{encoding}: {}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decompression_bombs_are_cut_at_the_limit_of_bodies() {
    let world = world();
    let server = world.server().await;
    let app = server.app();
    let zeros = gzip(&vec![0; 300 << 20]);
    assert!(zeros.len() < 1 << 20, "{} bytes come", zeros.len());
    for bomb in [zeros.clone(), gzip(&zeros)] {
        let refused = encoded(&app, "gzip", bomb).await;
        assert!(matches!(refused.status.as_u16(), 413 | 415), "{}", refused.text());
    }
    let refused = encoded(&app, "zstd", zstd_with_a_large_window()).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let text = get(&app, "/metrics").await.text();
    assert!(text.contains("\nmimi_request_bytes 0\n"), "memory is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_for_who_asks() {
    let world = world();
    let app = world.server().await.app();
    let asked = |encoding: &str| {
        let request = Request::get("/metrics").header("accept-encoding", encoding);
        send(&app, request.body(Body::empty()).unwrap())
    };
    let (plain, gzip) = (asked("identity").await, asked("gzip").await);
    assert!(plain.headers.get("content-encoding").is_none());
    assert_eq!(gzip.headers["content-encoding"], "gzip");
    let mut text = String::new();
    GzDecoder::new(&gzip.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("# HELP ") && gzip.body.len() * 2 < plain.body.len());
    assert_eq!(asked("zstd").await.headers["content-encoding"], "zstd");
    let small = Request::get("/healthz").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    assert!(send(&app, small).await.headers.get("content-encoding").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_named_origins_may_ask_and_others_not() {
    let world = world();
    let preflight = |origin: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri(CLASSIFY).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization").body(Body::empty()).unwrap()
    };
    let closed = world.server().await.app();
    assert_eq!(send(&closed, preflight("https://shop.example")).await.status, 405);
    let mut config = world.config();
    config.http.origins = vec!["https://shop.example".parse().unwrap()].into();
    let app = mimi_server::serve::Server::build(config).await.unwrap().app();
    let allowed = send(&app, preflight("https://shop.example")).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(allowed.headers["access-control-allow-headers"], "authorization");
    assert!(allowed.headers.get("access-control-allow-credentials").is_none());
    assert!(
        send(&app, preflight("https://other.example"))
            .await
            .headers
            .get("access-control-allow-origin")
            .is_none()
    );
    let asked =
        Request::get("/v1/tasks").header("origin", "https://shop.example").body(Body::empty()).unwrap();
    let told = send(&app, asked).await.headers;
    assert!(told["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_its_requests_name() {
    let world = world();
    let app = world.server().await.app();
    let named = |name: &str| {
        send(&app, Request::get("/v1/tasks").header("x-request-id", name).body(Body::empty()).unwrap())
    };
    assert_eq!(named("order-7").await.headers["x-request-id"], "order-7");
    let refused = Request::get("/nowhere").header("x-request-id", "order-8").body(Body::empty()).unwrap();
    assert_eq!(send(&app, refused).await.headers["x-request-id"], "order-8");
    let long = "x".repeat(1000);
    for (name, other) in [("two words", "a b"), (&*long, "x")] {
        let given = named(name).await.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(given.len() == 32 && given != other, "{given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_heads_and_open_metrics() {
    let world = world();
    let app = world.server().await.app();
    for path in ["/v1/tasks/", "/v1/tasks/?limit=1", "/v1/tasks/one/"] {
        assert_eq!(get(&app, path).await.status, 200, "{path}");
    }
    for path in ["/v1/tasks", "/healthz", "/metrics", "/api-doc/openapi.json"] {
        let asked = Request::builder().method(Method::HEAD).uri(path).body(Body::empty()).unwrap();
        let (head, whole) = (send(&app, asked).await, get(&app, path).await);
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
        assert_eq!(head.headers["content-type"], whole.headers["content-type"], "{path}");
    }
    let asked = Request::get("/metrics").header("accept", "application/openmetrics-text; version=1.0.0");
    let open = send(&app, asked.body(Body::empty()).unwrap()).await;
    assert!(
        open.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    let text = open.text();
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE mimi_engine_flops counter\n"), "{text}");
    assert!(
        text.contains("\nmimi_engine_flops_total 0\n") && !text.contains("# TYPE mimi_engine_flops_total")
    );
}
