//! A replica that comes back reads what it had in memory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mimi_server::serve::Server;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio::task::JoinHandle;

use super::Shop;
use super::faulty::Faulty;
use crate::server::{classify, get, image};

const OFTEN: Duration = Duration::from_millis(20);

fn file(shop: &Shop) -> PathBuf {
    shop.cache.path().join("resident")
}

/// A server that reads what another had, and notes what it has.
async fn recalling(shop: &Shop) -> (Server, JoinHandle<()>) {
    let server = Server::build(shop.config()).await.unwrap();
    let (reloader, file) = (Arc::clone(server.reloader()), file(shop));
    let recall = tokio::spawn(async move { reloader.recall(file, OFTEN).await });
    (server, recall)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn asked(server: &Server, names: &[&str]) {
    for name in names {
        assert_eq!(classify(&server.app(), name, image("rgb.png")).await.status, 200);
    }
}

async fn recalled(server: &Server) -> String {
    let text = get(&server.app(), "/metrics").await.text();
    text.lines().find(|line| line.starts_with("mimi_packs_recalled_total")).unwrap().to_owned()
}

/// Those that were asked for come back without being asked, also where the store is away at first; what is gone is left out,
/// and the file stays as it is until all are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_in_memory_comes_back() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let shop = Shop::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    for name in ["one", "two", "never"] {
        shop.publish(name, 1, 1).await;
    }
    let (server, recall) = recalling(&shop).await;
    asked(&server, &["one", "two"]).await;
    let noted = || fs::read_to_string(file(&shop)).unwrap_or_default();
    until("noted", async || noted() == "one\ntwo\n").await;
    recall.abort();
    fs::write(file(&shop), "gone\none\ntwo\n").unwrap();
    faulty.is_away.store(true, Ordering::SeqCst);
    let (again, recall) = recalling(&shop).await;
    tokio::time::sleep(10 * OFTEN).await;
    assert_eq!(
        (recalled(&again).await.as_str(), noted().as_str()),
        ("mimi_packs_recalled_total 0", "gone\none\ntwo\n")
    );
    faulty.is_away.store(false, Ordering::SeqCst);
    until("read again", async || recalled(&again).await == "mimi_packs_recalled_total 2").await;
    until("noted again", async || noted() == "one\ntwo\n").await;
    let requests = faulty.requests();
    asked(&again, &["one", "two"]).await;
    assert_eq!(faulty.requests(), requests, "nothing is left to ask the store for");
    recall.abort();
}

/// A file that is not well-formed costs the warm start alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broken_file_stops_nothing() {
    let shop = Shop::new();
    shop.publish("one", 1, 1).await;
    fs::write(file(&shop), b"\xff../one\n").unwrap();
    let (server, recall) = recalling(&shop).await;
    asked(&server, &["one"]).await;
    until("noted", async || fs::read_to_string(file(&shop)).is_ok_and(|text| text == "one\n")).await;
    recall.abort();
}
