//! Series, their names and their bounds.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use mimi_server::metrics::TaskLabels;
use mimi_server::serve;

use crate::server::{World, classify, get, image};
use crate::support::repository;

async fn scrape(app: &Router) -> String {
    get(app, "/metrics").await.text()
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_task_and_unknown_names_add_no_series() {
    let world = World::new();
    world.publish("known", &world.contents(1, 0));
    let app = world.server().await.app();
    classify(&app, "known", image("rgb.png")).await;
    classify(&app, "known", "nonsense").await;
    let before = scrape(&app).await;
    let flops = value(&before, "mimi_flops_total{task=\"known\"}");
    assert_eq!(value(&before, "mimi_requests_total{code=\"ok\",task=\"known\"}"), 1.0);
    assert_eq!(value(&before, "mimi_requests_total{code=\"unsupported_media_type\",task=\"known\"}"), 1.0);
    for name in ["a", "b", "c", "..", "%22%7D"] {
        classify(&app, name, image("rgb.png")).await;
    }
    let after = scrape(&app).await;
    assert_eq!(value(&after, "mimi_requests_total{code=\"task_not_found\",task=\"none\"}"), 5.0);
    let series = |text: &str| text.lines().filter(|line| line.starts_with("mimi_requests_total")).count();
    assert_eq!(series(&after), series(&before) + 1);
    assert!(flops > 0.0 && value(&after, "mimi_flops_total{task=\"known\"}") == flops);
    // The same by code alone, and every code from the start.
    let by_code = |code| value(&after, &format!("mimi_answers_total{{code=\"{code}\"}}"));
    let codes = ["ok", "unsupported_media_type", "task_not_found", "internal"];
    assert_eq!(codes.map(by_code), [1.0, 1.0, 5.0, 0.0]);
    let codes = after.lines().filter(|line| line.starts_with("mimi_answers_total{")).count();
    assert_eq!(codes, mimi_server::service::Code::ALL.len());
    assert_eq!(value(&after, "mimi_packs_resident"), 1.0);
    assert_eq!(value(&after, "mimi_batch_rows_count"), 1.0);
    assert!(value(&after, "mimi_packs_resident_bytes") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_pass_promtool() {
    let world = World::new();
    world.publish("known", &world.contents(1, 0));
    let app = world.server().await.app();
    classify(&app, "known", image("rgb.png")).await;
    let text = scrape(&app).await;
    let promtool = repository().join("vendor/tools/usr/bin/promtool");
    if !promtool.exists() {
        assert_ne!(std::env::var("REQUIRE_ASSETS").as_deref(), Ok("1"), "run `make tools`");
        eprintln!("*** SKIPPED: promtool is missing; run `make tools`");
        return;
    }
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

/// What a scrape of this many tasks may take, seconds.
const SCRAPE: f64 = 0.020;

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_ten_thousand_tasks_is_short() {
    let world = World::new();
    let folder = world.publish("t0", &world.contents(1, 0));
    for i in 1..2000 {
        // The same pack under many names; only names are read at the start.
        let version = world.task(&format!("t{i}")).join("1");
        std::fs::create_dir_all(version.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&folder, &version).unwrap();
    }
    let server = world.server().await;
    let metrics = server.metrics();
    for i in 0..10_000 {
        let task = format!("t{i}");
        metrics.requests.tasks.request(&task, "ok");
        metrics.requests.tasks.spent(&task, 7);
        metrics.requests.times.observe(&task, Duration::from_millis(i));
    }
    let app = server.app();
    let text = scrape(&app).await;
    assert_eq!(value(&text, "mimi_tasks"), 2000.0);
    // Two lines a task and 13 for each of 50: what is written is all that a scrape costs.
    let lines = |family: &str| {
        text.lines().filter(|line| line.starts_with(family) && line.contains("task=\"t")).count()
    };
    assert_eq!((lines("mimi_requests_total"), lines("mimi_flops_total")), (10_000, 10_000));
    assert_eq!(lines("mimi_task_duration_seconds"), 50 * 13);
    assert_eq!(value(&text, "mimi_task_duration_seconds_count{task=\"other\"}"), 9_950.0);
    assert!(text.len() < 1_200_000, "{} bytes", text.len());
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        scrape(&app).await;
        took.push(started.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    eprintln!("a scrape of 10,000 tasks: {:.1} ms, the shortest {:.1} ms", took[10] * 1e3, took[0] * 1e3);
    // A machine that does something else at the same time makes none of them short by chance.
    let is_optimised = env!("MIMI_OPT_LEVEL") != "0";
    assert!(!is_optimised || took[0] <= SCRAPE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_timed_by_task_and_refusals_are_not() {
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    world.publish("two", &world.contents(2, 0));
    let config = serve::Config { task_labels: TaskLabels::Top(1), ..world.config() };
    let app = serve::Server::build(config).await.unwrap().app();
    for task in ["one", "two", "none", "gone"] {
        classify(&app, task, image("rgb.png")).await;
        classify(&app, task, "nonsense").await;
    }
    let count =
        |text: &str, task| value(text, &format!("mimi_task_duration_seconds_count{{task=\"{task}\"}}"));
    let text = scrape(&app).await;
    assert_eq!((count(&text, "one"), count(&text, "other")), (1.0, 1.0));
    assert_eq!(text.matches("mimi_task_duration_seconds_count").count(), 2, "{text}");
    std::fs::remove_dir_all(world.task("one")).unwrap();
    let config = serve::Config { task_labels: TaskLabels::None, ..world.config() };
    let app = serve::Server::build(config).await.unwrap().app();
    classify(&app, "two", image("rgb.png")).await;
    assert!(!scrape(&app).await.contains("mimi_task_duration"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_is_and_how_far_it_goes() {
    let world = World::new();
    let running = world.start().await;
    let text = tokio::task::spawn_blocking(move || scraped(running.address)).await.unwrap();
    let told = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let build = told("mimi_build_info{");
    for (label, value) in [
        ("backbone", world.tiny.config.name.as_str()),
        ("device", "cpu"),
        ("precision", "fp32"),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(build.contains(&format!("{label}=\"{value}\"")), "{build}");
    }
    assert!(told("mimi_cpu_info{").ends_with(" 1"), "{text}");
    assert!(value(&text, "mimi_cpu_threads") >= 1.0);
    assert!(value(&text, "process_cpu_seconds_total{mode=\"user\"}") > 0.0);
    let limits = ["mimi_queue_limit_rows", "mimi_request_limit_bytes", "mimi_prefix_limit_bytes"];
    assert_eq!(limits.map(|name| value(&text, name)), [64.0, f64::from(256 << 20), 0.0]);
    assert!(value(&text, "mimi_connections_limit") > 0.0);
}

/// What a server on a socket tells a scraper.
fn scraped(address: std::net::SocketAddr) -> String {
    use std::io::Read;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Both doors count what changes a task, once, and neither counts what only reads.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_is_counted_by_every_door() {
    use mimi_server::grpc::messages::{ModelReadyRequest, RepositoryModelLoadRequest};
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    let running = world.start().await;
    let mut client = crate::grpc::client(&running).await;
    let load = || RepositoryModelLoadRequest { repository_name: "one".into(), ..Default::default() };
    client.model_ready(ModelReadyRequest { name: "one".into(), ..Default::default() }).await.unwrap();
    client.repository_model_load(load()).await.unwrap();
    let address = running.address;
    let text = tokio::task::spawn_blocking(move || scraped(address)).await.unwrap();
    assert_eq!(value(&text, "mimi_requests_total{code=\"ok\",task=\"one\"}"), 1.0);
    let ask = move |path: &'static str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        tokio::task::spawn_blocking(move || {
            use std::io::Read;
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        })
    };
    for path in [
        "/v2/repository/models/one/load",
        "/v2/repository/models/one/unload",
        "/v1/tasks/one/reload",
        "/v1/folder/confirm",
    ] {
        ask(path).await.unwrap();
    }
    let text = tokio::task::spawn_blocking(move || scraped(address)).await.unwrap();
    assert_eq!(value(&text, "mimi_requests_total{code=\"ok\",task=\"one\"}"), 4.0);
    assert_eq!(value(&text, "mimi_requests_total{code=\"ok\",task=\"none\"}"), 1.0);
    running.end().await.unwrap().unwrap();
}

/// A request that is turned away is counted by why.
#[tokio::test(flavor = "multi_thread")]
async fn rejections_are_counted_by_reason() {
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    let mut config = world.config();
    config.service.bytes_in_flight = 10;
    let server = serve::Server::build(config).await.unwrap();
    let app = server.app();
    classify(&app, "one", image("rgb.png")).await;
    classify(&app, "one", "").await;
    let text = scrape(&app).await;
    assert_eq!(value(&text, "mimi_rejections_total{reason=\"memory_full\"}"), 1.0);
    // Every reason has its series from the start, so that a first step shows.
    let all = text.lines().filter(|line| line.starts_with("mimi_rejections_total{"));
    let sum: f64 = all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!((sum, text.matches("\nmimi_rejections_total{").count()), (1.0, 13));
}
