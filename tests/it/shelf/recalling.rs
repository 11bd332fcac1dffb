//! A replica that comes back reads what it had in memory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mimi_server::pack::SelfTest;
use mimi_server::serve::{self, Server};
use mimi_server::shelf::{PackSource, Settings, StoreAt, StoreOptions};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::JoinHandle;

use super::faulty::Faulty;
use super::{Shop, objects, stable, task};
use crate::server::{classify, get, image};

const OFTEN: Duration = Duration::from_millis(20);

fn file(shop: &Shop) -> PathBuf {
    shop.config().store.unwrap().resident(&shop.world.tiny.config.fingerprint)
}

/// A server that reads what another had, and notes what it has.
async fn recalling(shop: &Shop) -> (Server, JoinHandle<()>) {
    recalling_as(shop, shop.config()).await
}

async fn recalling_as(shop: &Shop, config: serve::Config) -> (Server, JoinHandle<()>) {
    let server = Server::build(config).await.unwrap();
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

/// A malformed line is left out, and the names beside it are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broken_file_stops_nothing() {
    let shop = Shop::new();
    shop.publish("one", 1, 1).await;
    fs::write(file(&shop), b"\xff../one\none\n").unwrap();
    let (server, recall) = recalling(&shop).await;
    until("read again", async || recalled(&server).await == "mimi_packs_recalled_total 1").await;
    asked(&server, &["one"]).await;
    shop.publish("two", 1, 1).await;
    asked(&server, &["two"]).await;
    until("noted", async || fs::read_to_string(file(&shop)).is_ok_and(|text| text == "one\ntwo\n")).await;
    recall.abort();
}

/// A pack that is out of reach keeps its name beside those that are asked for meanwhile, and is read when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_whose_pack_is_out_of_reach_is_not_lost() {
    let shop = Shop::new();
    let listed = async || -> Vec<_> { shop.store.list(None).try_collect().await.unwrap() };
    shop.publish("one", 1, 1).await;
    shop.publish("three", 3, 1).await;
    let before = listed().await;
    shop.publish("two", 2, 1).await;
    let is_new = |object: &object_store::ObjectMeta| before.iter().all(|old| old.location != object.location);
    let blob = listed().await.into_iter().filter(is_new).max_by_key(|object| object.size).unwrap().location;
    let bytes = shop.store.get(&blob).await.unwrap().bytes().await.unwrap();
    shop.store.delete(&blob).await.unwrap();
    fs::write(file(&shop), "gone\none\ntwo\n").unwrap();
    let (server, recall) = recalling(&shop).await;
    asked(&server, &["three"]).await;
    until("noted", async || fs::read_to_string(file(&shop)).unwrap() == "one\nthree\ntwo\n").await;
    shop.store.put(&blob, bytes.into()).await.unwrap();
    until("read again", async || recalled(&server).await == "mimi_packs_recalled_total 2").await;
    recall.abort();
}

/// Where there is no room, the store is not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_finds_no_room_is_not_asked_about() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let shop = Shop::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    shop.publish("one", 1, 1).await;
    fs::write(file(&shop), "one\n").unwrap();
    let requests = faulty.requests();
    let config = serve::Config { pack_memory: 0, ..shop.config() };
    let (_server, recall) = recalling_as(&shop, config).await;
    until("noted", async || fs::read_to_string(file(&shop)).unwrap().is_empty()).await;
    assert_eq!(faulty.requests(), requests);
    recall.abort();
}

/// What a first reading brings, a pack that came back has too: programs of its own, and the late check of its answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pack_that_came_back_is_as_one_that_was_asked_for() {
    let shop = Shop::new();
    let test = SelfTest { images: vec![image("rgb.png")], logits: vec![vec![0.0, 0.0, 1000.0, 5.0]] };
    let wrong = mimi_server::pack::Contents { self_test: test, ..shop.world.contents(2, 2) };
    let folder = shop.world.publish("aside", &wrong);
    let archive = mimi_server::pack::archive(&mimi_server::files::System, &folder).unwrap();
    objects(&shop.store).publish(&task("wrong"), archive.into(), stable(None)).await.unwrap();
    fs::write(file(&shop), "wrong\n").unwrap();
    let mut config = shop.config();
    config.reload.verify_late = true;
    let (server, recall) = recalling_as(&shop, config).await;
    let programs = server.metrics().engine.programs_resident.get();
    until("read again", async || recalled(&server).await == "mimi_packs_recalled_total 1").await;
    until("programs", async || server.metrics().engine.programs_resident.get() > programs).await;
    assert_eq!(classify(&server.app(), "wrong", image("rgb.png")).await.status, 200);
    until("withdrawn", async || {
        classify(&server.app(), "wrong", image("rgb.png")).await.code() == "task_broken"
    })
    .await;
    recall.abort();
}

#[test]
fn each_store_and_backbone_has_its_own_file() {
    let at = |address: &str, endpoint: &str, key: &str| {
        let named = [("AWS_ENDPOINT", endpoint), ("AWS_SECRET_ACCESS_KEY", key)];
        let named = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let at = StoreAt::Address(address.into(), Settings::new(named));
        StoreOptions { at, ..Shop::new().config().store.unwrap() }
    };
    let name = |store: &StoreOptions, backbone: &str| {
        store.resident(backbone).file_name().unwrap().to_str().unwrap().to_owned()
    };
    let one = name(&at("s3://a/packs", "http://x", "k"), "f");
    assert!(one.len() == 25 && one.starts_with("resident-"), "{one}");
    assert_eq!(one, name(&at("s3://a/packs", "http://x", "rotated"), "f"));
    for (store, backbone) in [
        (at("s3://b/packs", "http://x", "k"), "f"),
        (at("s3://a/packs", "http://y", "k"), "f"),
        (at("s3://a/packs", "http://x", "k"), "g"),
    ] {
        assert_ne!(one, name(&store, backbone));
    }
}
