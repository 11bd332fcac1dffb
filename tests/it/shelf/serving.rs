//! A server over a store: learning, following, a store that is away.

use std::time::{Duration, Instant};

use mimi_server::serve::Server;
use mimi_server::shelf::{Edit, PackSource};

use super::{Shop, objects, task};
use crate::server::{classify, get, image};

/// The server's loop beside it, as `serve` runs it.
async fn following(shop: &Shop) -> (Server, tokio::task::JoinHandle<()>) {
    let server = Server::build(shop.config()).await.unwrap();
    let reloader = std::sync::Arc::clone(server.reloader());
    let follow = async move { reloader.follow(Duration::from_millis(20), Duration::from_secs(300)).await };
    (server, tokio::spawn(follow))
}

async fn label(app: &axum::Router, task: &str) -> (u64, String) {
    let answer = classify(app, task, image("rgb.png")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let json = answer.json();
    (json["version"].as_u64().unwrap(), json["predictions"][0]["label"].as_str().unwrap().to_owned())
}

async fn until(app: &axum::Router, task: &str, expected: u64) {
    let started = Instant::now();
    while label(app, task).await.0 != expected {
        assert!(started.elapsed() < Duration::from_secs(3), "version {expected} is not live within 3 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_is_learned_followed_and_taken_back() {
    let shop = Shop::new();
    shop.publish("t", 1, 1).await;
    let (server, follower) = following(&shop).await;
    let app = server.app();
    assert_eq!(label(&app, "t").await, (1, "class-1".into()));
    assert_eq!(classify(&app, "unknown", image("rgb.png")).await.code(), "task_not_found");
    shop.publish("t", 2, 2).await;
    until(&app, "t", 2).await;
    assert_eq!(label(&app, "t").await.1, "class-2");
    // A version that is there answers by its number, and moves nothing.
    assert_eq!(label(&app, "t@1").await, (1, "class-1".into()));
    assert_eq!(classify(&app, "t@9", image("rgb.png")).await.code(), "task_not_found");
    assert_eq!(classify(&app, "t@x", image("rgb.png")).await.code(), "task_not_found");
    let edit = Edit::Label { label: "stable".into(), version: None };
    objects(&shop.store).edit(&task("t"), edit).await.unwrap();
    until(&app, "t", 1).await;
    let series = get(&app, "/metrics").await.text();
    assert!(series.contains("mimi_store_seq 3") && series.contains("mimi_store_away 0"), "{series}");
    assert!(series.contains("task=\"t\"") && !series.contains("t@1"), "labels are tasks");
    follower.abort();
}
