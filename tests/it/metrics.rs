//! Series, their names and their bounds.

use std::io::Write;
use std::process::{Command, Stdio};

use axum::Router;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_two_lines_a_task() {
    let world = World::new();
    let folder = world.publish("t0", &world.contents(1, 0));
    for i in 1..2000 {
        // The same pack under many names; only names are read at the start.
        let version = world.task(&format!("t{i}")).join("1");
        std::fs::create_dir_all(version.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&folder, &version).unwrap();
    }
    let server = world.server().await;
    for i in 0..2000 {
        server.metrics().requests.with_label_values(&[&format!("t{i}"), "ok"]).inc();
        server.metrics().flops.with_label_values(&[&format!("t{i}")]).inc_by(7);
    }
    let app = server.app();
    let text = scrape(&app).await;
    assert_eq!(value(&text, "mimi_tasks"), 2000.0);
    // Two lines a task: what is written is all that a scrape costs.
    let lines = |text: &str| text.lines().filter(|line| line.contains("task=\"t")).count();
    assert_eq!(lines(&text), 2 * 2000);
    assert!(text.len() < 400_000, "{} bytes", text.len());
}
