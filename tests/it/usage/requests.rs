//! What a request is charged.

use mimi_server::pack::SelfTest;
use mimi_server::serve;
use mimi_server::usage::{By, UsageOptions};
use serde_json::Value;

use super::summed;
use crate::server::{World, classify, get, image, post};

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    world.publish("two", &world.contents(2, 1));
    world
}

fn header(answer: &crate::server::Answer, name: &str) -> u64 {
    answer.headers.get(name).map_or(0, |value| value.to_str().unwrap().parse().unwrap())
}

/// The values of a family's series together.
fn family(text: &str, name: &str) -> f64 {
    let lines = text
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_charged_to_its_task_and_sums_are_exact() {
    let (world, logs) = (world(), tempfile::tempdir().unwrap());
    let usage = UsageOptions { folder: Some(logs.path().to_owned()), ..UsageOptions::default() };
    let server = serve::Server::build(serve::Config { usage, ..world.config() }).await.unwrap();
    let (app, png) = (server.app(), image("rgb.png"));
    let mut told = 0;
    for _ in 0..3 {
        told += header(&classify(&app, "one", png.clone()).await, "x-mimi-flops");
    }
    let form = "--b\r\ncontent-disposition: form-data; name=\"tasks\"\r\n\r\none,two,unknown\r\n--b\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n";
    let body = [form.as_bytes(), &png, b"\r\n--b--\r\n"].concat();
    let many = post(&app, "/v1/classify", "multipart/form-data; boundary=b", body.clone()).await;
    assert_eq!(many.status, 200, "{}", many.text());
    told += header(&many, "x-mimi-flops");
    told += header(&post(&app, "/v1/embed", "application/octet-stream", png.clone()).await, "x-mimi-flops");
    let refused = classify(&app, "unknown", png.clone()).await;
    classify(&app, "one", "nonsense").await;
    get(&app, "/healthz").await;
    get(&app, "/nowhere").await;
    let asked = get(&app, "/v1/usage").await.json();
    assert_eq!((&asked["tenant"], &asked["since_start"]["requests"]), (&"none".into(), &7.into()));
    assert_eq!(asked["this_month"], asked["today"]);
    assert_eq!((&asked["today"]["one"]["rows"], &asked["today"]["two"]["rows"]), (&4.into(), &1.into()));
    assert_eq!((&asked["today"]["one"]["images"], &asked["today"]["none"]["images"]), (&3.into(), &2.into()));
    let text = get(&app, "/metrics").await.text();
    assert_eq!(family(&text, "mimi_tenant_flops_total"), told as f64);
    assert_eq!(family(&text, "mimi_tenant_flops_total"), family(&text, "mimi_flops_total"));
    assert_eq!(family(&text, "mimi_tenant_images_total"), 5.0);
    assert!(family(&text, "mimi_tenant_device_seconds_total") > 0.0);
    assert!(text.contains("mimi_tenant_requests_total{code=\"task_not_found\",tenant=\"none\"} 1"), "{text}");
    server.close_logs().await.unwrap();
    let all = summed(logs.path(), By::Tenant).all;
    // Three times one, many, embed, an unknown task, a broken image, and the question about use itself.
    assert_eq!((all.requests, all.images, all.rows, all.flops), (8, 5, 6, told));
    assert!(
        all.bytes_in >= 4 * png.len() as u64 + body.len() as u64 && all.bytes_out > refused.body.len() as u64
    );
}

/// Every FLOP of the engine is a tenant's, or the server's own where a pack proves its answers.
#[tokio::test(flavor = "multi_thread")]
async fn sums_over_tenants_are_the_engines() {
    let (world, png) = (world(), image("rgb.png"));
    let server = world.server().await;
    let app = server.app();
    let mut tested = world.contents(3, 1);
    tested.head_weight.fill(0.0);
    tested.self_test = SelfTest { images: vec![png.clone()], logits: vec![tested.head_bias.clone()] };
    world.publish("two", &tested);
    let proved = post(&app, "/v1/tasks/two/reload", "application/json", "").await;
    assert_eq!(proved.status, 200, "{}", proved.text());
    for task in ["one", "two", "one"] {
        assert_eq!(classify(&app, task, png.clone()).await.status, 200);
    }
    let text = get(&app, "/metrics").await.text();
    let [tenants, own, engine] =
        ["tenant", "engine_internal", "engine"].map(|of| family(&text, &format!("mimi_{of}_flops_total")));
    assert!(tenants > 0.0 && own > 0.0, "{tenants} {own}");
    assert_eq!(tenants + own, engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_told_at_the_start() {
    let world = world();
    let file = world.task("file");
    std::fs::write(&file, "").unwrap();
    let usage = UsageOptions { folder: Some(file.join("logs")), ..UsageOptions::default() };
    let error = serve::Server::build(serve::Config { usage, ..world.config() }).await.err().unwrap();
    assert!(
        format!("{error:#}").contains("usage log") && format!("{error:#}").contains("file/logs"),
        "{error:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn use_has_no_parameters() {
    let app = world().server().await.app();
    let answer = get(&app, "/v1/usage?month=1").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".into()));
    let described: Value = get(&app, "/api-doc/openapi.json").await.json();
    assert!(described["paths"]["/v1/usage"]["get"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_charged_what_came() {
    let world = world();
    let server = world.server().await;
    let app = server.app();
    let (send, came) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let body = futures::stream::unfold(came, |mut came| async {
        came.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), came))
    });
    let asked = axum::http::Request::post("/v1/tasks/one/classify");
    let asked = asked.body(axum::body::Body::from_stream(body)).unwrap();
    let asking = tokio::spawn(async move { crate::server::send(&app, asked).await });
    send.send(vec![7; 1000]).unwrap();
    let app = server.app();
    let start = std::time::Instant::now();
    while !send.is_closed() {
        if start.elapsed().as_millis() > 100 {
            asking.abort();
        }
        assert!(start.elapsed().as_secs() < 10, "the body is still read");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let used = get(&app, "/v1/usage").await.json()["since_start"].clone();
    assert_eq!((&used["requests"], &used["bytes_in"]), (&1.into(), &1000.into()), "{used}");
    assert_eq!((&used["images"], &used["refused"], &used["flops"]), (&0.into(), &0.into(), &0.into()));
    let text = get(&app, "/metrics").await.text();
    assert!(text.contains("mimi_tenant_requests_total{code=\"abandoned\",tenant=\"none\"} 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_of_a_log_that_cannot_be_written() {
    let (world, logs) = (world(), tempfile::tempdir().unwrap());
    let folder = logs.path().join("usage");
    let usage = UsageOptions { folder: Some(folder.clone()), ..UsageOptions::default() };
    let server = serve::Server::build(serve::Config { usage, ..world.config() }).await.unwrap();
    let app = server.app();
    assert!(get(&app, "/readyz").await.json()["logs_failing"].is_null());
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    classify(&app, "one", image("rgb.png")).await;
    let start = std::time::Instant::now();
    while get(&app, "/readyz").await.json()["logs_failing"] != serde_json::json!(["usage"]) {
        assert!(start.elapsed().as_secs() < 10, "{}", get(&app, "/readyz").await.text());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    while !get(&app, "/readyz").await.json()["logs_failing"].is_null() {
        assert!(start.elapsed().as_secs() < 30, "{}", get(&app, "/readyz").await.text());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
