//! Requests and their answers: every form of body, every row of the table of errors.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::server::{World, classify, get, image, post, send};

pub const BOUNDARY: &str = "multipart/form-data; boundary=cut";

pub fn part(name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

pub fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|(name, content)| part(name, content)).collect();
    [parts, b"--cut--\r\n".to_vec()].concat()
}

pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A world with the tasks `one` (prefers class 1) and `two` (prefers class 2).
fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    world.publish("two", &world.contents(2, 2));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_body_gives_the_same_answer() {
    let world = world();
    let app = world.server().await.app();
    let picture = image("rgb.png");
    let raw = classify(&app, "one", picture.clone()).await;
    assert_eq!(raw.status, StatusCode::OK, "{}", raw.text());
    let expected = raw.json();
    assert_eq!((expected["task"].as_str(), expected["version"].as_u64()), (Some("one"), Some(1)));
    assert_eq!(expected["predictions"][0]["label"], "class-1");
    assert_eq!(expected["predictions"].as_array().unwrap().len(), 4, "four classes, of five asked for");
    for header in ["x-mimi-decode-us", "x-mimi-queue-us", "x-mimi-run-us", "x-mimi-flops", "server-timing"] {
        assert!(raw.headers.contains_key(header), "{header}");
    }
    let path = "/v1/tasks/one/classify";
    let json = json!({"image": base64(&picture)}).to_string();
    let url = json!({"image": format!("data:image/png;base64,{}", base64(&picture))}).to_string();
    for (kind, body) in [
        ("image/png", picture.clone()),
        ("application/json", json.into_bytes()),
        ("application/json; charset=utf-8", url.into_bytes()),
        (BOUNDARY, form(&[("image", &picture)])),
        (BOUNDARY, form(&[("file", &picture)])),
    ] {
        let answer = post(&app, path, kind, body).await;
        assert_eq!(answer.json(), expected, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_in_order_and_as_its_images_alone() {
    let world = world();
    let app = world.server().await.app();
    let pictures: Vec<_> = ["rgb.png", "grey.jpg", "lossy.webp"].map(image).into();
    let encoded: Vec<_> = pictures.iter().map(|p| base64(p)).collect();
    let body = json!({"images": encoded, "top_k": 2}).to_string();
    let batch = post(&app, "/v1/tasks/two/classify", "application/json", body).await.json();
    let results = batch["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let many =
        form(&[("image", &pictures[0]), ("image", &pictures[1]), ("image", &pictures[2]), ("top_k", b"2")]);
    let multipart = post(&app, "/v1/tasks/two/classify", BOUNDARY, many).await.json();
    for (i, picture) in pictures.iter().enumerate() {
        let path = "/v1/tasks/two/classify?top_k=2";
        let alone = post(&app, path, "image/any", picture.clone()).await.json();
        assert_close_predictions(&results[i]["predictions"], &alone["predictions"]);
        assert_close_predictions(&multipart["results"][i]["predictions"], &alone["predictions"]);
    }
}

fn assert_close_predictions(a: &Value, b: &Value) {
    let (a, b) = (a.as_array().unwrap(), b.as_array().unwrap());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a["label"], b["label"]);
        assert!((a["score"].as_f64().unwrap() - b["score"].as_f64().unwrap()).abs() < 1e-5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_under_many_tasks_equals_separate_requests() {
    let world = world();
    let app = world.server().await.app();
    let picture = image("rgb.png");
    let body = json!({"tasks": ["two", "missing", "one"], "image": base64(&picture)}).to_string();
    let answer = post(&app, "/v1/classify", "application/json", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let results = answer.json()["results"].clone();
    for (i, task) in [(0, "two"), (2, "one")] {
        let alone = classify(&app, task, picture.clone()).await.json();
        assert_eq!(results[i]["task"], task);
        assert_close_predictions(&results[i]["predictions"], &alone["predictions"]);
    }
    assert_eq!((&results[1]["task"], &results[1]["code"]), (&json!("missing"), &json!("task_not_found")));
    let multipart = form(&[("image", &picture), ("tasks", b"two, one")]);
    let answer = post(&app, "/v1/classify", BOUNDARY, multipart).await.json();
    assert_eq!(answer["results"][0]["predictions"][0]["label"], "class-2");
    assert_eq!(answer["results"][1]["predictions"][0]["label"], "class-1");
}

/// The headers of an answer under many tasks sum up its rows: FLOPs are a sum, times are of the slowest.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_many_tasks_sum_up_their_rows() {
    let world = world();
    let server = world.server().await;
    let app = server.app();
    let body = |tasks: &[&str]| json!({"tasks": tasks, "image": base64(&image("rgb.png"))}).to_string();
    let started = std::time::Instant::now();
    let answer =
        post(&app, "/v1/classify?runs=true", "application/json", body(&["one", "two", "gone"])).await;
    let took = started.elapsed().as_micros() as u64;
    let number = |name: &str| answer.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    let runs = answer.json()["runs"].as_array().unwrap().clone();
    let flops: u64 = runs.iter().map(|run| run["flops"].as_u64().unwrap()).sum();
    assert_eq!((runs.len(), number("x-mimi-flops")), (2, flops));
    assert!((1..=2).contains(&number("x-mimi-batch-rows")));
    let times = ["decode", "queue", "run"].map(|phase| (phase, number(&format!("x-mimi-{phase}-us"))));
    assert!(times.iter().all(|(_, us)| *us <= took), "{times:?} of {took}");
    assert!(number("x-mimi-decode-us") > 0 && number("x-mimi-run-us") > 0, "{times:?}");
    // The same times, to the microsecond.
    let timing = answer.headers["server-timing"].to_str().unwrap();
    for (phase, us) in times {
        let told =
            timing.split(", ").find_map(|part| part.strip_prefix(phase)?.strip_prefix(";dur=")).unwrap();
        assert!((told.parse::<f64>().unwrap() * 1e3 - us as f64).abs() <= 1.0, "{phase}: {timing} and {us}");
    }
    let alone = post(&app, "/v1/classify?runs=true", "application/json", body(&["one"])).await;
    assert_eq!(alone.headers["x-mimi-flops"], runs[0]["whole_flops"].to_string().as_str());
    // A request is timed once, however many tasks it names.
    let text = get(&app, "/metrics").await.text();
    assert!(text.contains("\nmimi_request_duration_seconds_count 2\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_ends_at_the_deadline_and_gives_its_place_back() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    let server = world.server().await;
    let app = server.app();
    for path in ["/v1/tasks/one/classify", "/v1/classify"] {
        let never = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
        let request = Request::post(path).header("x-mimi-timeout-ms", "50");
        let answer = send(&app, request.body(Body::from_stream(never)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "deadline_exceeded".into()), "{path}");
    }
    let metrics = get(&app, "/metrics").await.text();
    assert!(metrics.contains("\nmimi_queue_rows 0\n"), "{metrics}");
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_address_says_wrongly_is_told_as_all_errors_are() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    let server = world.server().await;
    let app = server.app();
    let kind = "application/octet-stream";
    for answer in [
        post(&app, "/v1/tasks/one/classify?top_k=1&top_k=2", kind, image("rgb.png")).await,
        post(&app, "/v1/classify?top_k=1&top_k=2", kind, image("rgb.png")).await,
        post(&app, "/v1/tasks/%ff/classify", kind, image("rgb.png")).await,
        post(&app, "/v1/tasks/%ff/reload", kind, "").await,
        get(&app, "/v1/tasks/%ff").await,
        get(&app, "/v1/tasks?limit=abc").await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".into()));
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    let metrics = get(&app, "/metrics").await.text();
    assert!(metrics.contains("mimi_requests_total{code=\"invalid_request\",task=\"one\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_are_kept_and_checked() {
    let world = world();
    let app = world.server().await.app();
    for (value, status, code) in [
        ("0", 503, "deadline_exceeded"),
        ("soon", 400, "invalid_request"),
        ("-1", 400, "invalid_request"),
        ("600001", 400, "invalid_request"),
        ("10000", 200, ""),
    ] {
        let request = Request::post("/v1/tasks/one/classify").header("x-mimi-timeout-ms", value);
        let answer = send(&app, request.body(image("rgb.png").into()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{value}");
        if status == 503 {
            assert_eq!(answer.headers["retry-after"], "1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_balancers_choose_by_changes_no_answer() {
    let world = world();
    let app = world.server().await.app();
    let plain = classify(&app, "one", image("rgb.png")).await;
    for value in ["tenant-7", "", "\u{e9}"] {
        let request = Request::post("/v1/tasks/one/classify").header("x-mimi-affinity", value);
        let answer = send(&app, request.body(image("rgb.png").into()).unwrap()).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, plain.json()), "{value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_live_in_one_process() {
    let (a, b) = (world(), world());
    b.publish("only-b", &b.contents(7, 3));
    let (a, b) = (a.server().await, b.server().await);
    assert_eq!(classify(&a.app(), "only-b", image("rgb.png")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(classify(&b.app(), "only-b", image("rgb.png")).await.status, StatusCode::OK);
    a.stop().await.unwrap();
    let refused = classify(&a.app(), "one", image("rgb.png")).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "shutting_down".to_owned()));
    assert_eq!(classify(&b.app(), "one", image("rgb.png")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_answered_429_with_retry_after() {
    let world = world();
    let mut config = world.config();
    config.engine.queue_limit = 2;
    let server = mimi_server::serve::Server::build(config).await.unwrap();
    let app = server.app();
    // Of many at once, the first two hold the places while they are decoded.
    let all = (0..32).map(|_| classify(&app, "one", image("rgb.png")));
    let all = futures::future::join_all(all).await;
    let (served, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty() && !refused.is_empty());
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "overloaded".to_owned()));
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_in_pages_and_shown() {
    let world = world();
    for i in 0..5 {
        world.publish(&format!("page-{i}"), &world.contents(i, 0));
    }
    let app = world.server().await.app();
    let mut names = Vec::new();
    let mut path = "/v1/tasks?limit=3".to_owned();
    loop {
        let page = get(&app, &path).await.json();
        names
            .extend(page["tasks"].as_array().unwrap().iter().map(|t| t["task"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tasks?limit=3&after={next}");
    }
    assert_eq!(names, ["one", "page-0", "page-1", "page-2", "page-3", "page-4", "two"]);
    let shown = get(&app, "/v1/tasks/one").await.json();
    assert_eq!((&shown["version"], &shown["resident"]), (&json!(1), &json!(false)));
    assert_eq!(shown["manifest"]["labels"].as_array().unwrap().len(), 4);
    assert_eq!(shown["manifest"]["adapter_widths"]["blocks.1.attn"], 4);
    classify(&app, "one", image("rgb.png")).await;
    assert_eq!(get(&app, "/v1/tasks/one").await.json()["resident"], true);
    for (path, status) in [("/v1/tasks/none", 404), ("/v1/tasks?limit=0", 400), ("/v1/tasks?after=A", 400)] {
        assert_eq!(get(&app, path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_description_answer() {
    let world = world();
    let app = world.server().await.app();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&app, path).await.json()["status"], "ok", "{path}");
    }
    let document = get(&app, "/api-doc/openapi.json").await.json();
    let classify = &document["paths"]["/v1/tasks/{task}/classify"]["post"]["responses"];
    for status in ["200", "400", "404", "413", "415", "422", "429", "500", "503"] {
        assert!(classify[status].is_object(), "{status} is not described");
    }
    let page = get(&app, "/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("swagger"), "{}", page.text());
    for (file, kind) in [
        ("index.html", "text/html"),
        ("index.css", "text/css"),
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui-standalone-preset.js", "text/javascript"),
        ("favicon-16x16.png", "image/png"),
        ("favicon-32x32.png", "image/png"),
    ] {
        let answer = get(&app, &format!("/docs/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_eq!(answer.headers["content-type"], kind, "{file}");
    }
    assert_eq!(get(&app, "/docs").await.status, StatusCode::SEE_OTHER);
    let script = get(&app, "/docs/swagger-initializer.js").await;
    assert!(script.text().contains("url: \"/api-doc/openapi.json\""), "{}", script.text());
}
