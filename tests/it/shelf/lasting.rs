//! Slow and incomplete stores: what is asked for comes in the end, and nothing older answers meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mimi_server::metrics::Metrics;
use mimi_server::serve::Server;
use mimi_server::shelf::{Cache, Digest, Objects, PackSource};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Shop, archive, objects, stable, task};
use crate::server::{classify, image};

/// A store whose answers can be slow, and its memory.
fn slow() -> (Arc<InMemory>, Arc<ThrottledStore<Arc<dyn ObjectStore>>>) {
    let memory = Arc::new(InMemory::new());
    let inner: Arc<dyn ObjectStore> = Arc::clone(&memory) as _;
    (memory, Arc::new(ThrottledStore::new(inner, ThrottleConfig::default())))
}

fn blob(archive: &[u8]) -> Path {
    let digest = Digest::of(archive);
    Path::from(format!("packs/blobs/{}/{digest}.mipack", digest.shard()))
}

#[tokio::test]
async fn a_fetch_outlasts_those_who_asked() {
    let (_, slow) = slow();
    let (store, cache): (Arc<dyn ObjectStore>, _) = (Arc::clone(&slow) as _, tempfile::tempdir().unwrap());
    objects(&store).publish(&task("t"), archive(1).into(), stable(None)).await.unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let copies = Cache::open(cache.path(), 1 << 30, Arc::clone(&metrics)).unwrap();
    let source = Objects::over(store, "packs".into(), Some(copies), Arc::clone(&metrics));
    source.refresh(&task("t")).await.unwrap();
    slow.config_mut(|config| config.wait_get_per_call = Duration::from_millis(200));
    for _ in 0..3 {
        let asked = tokio::time::timeout(Duration::from_millis(20), source.place(&task("t"), 1)).await;
        assert!(asked.is_err(), "it cannot be here yet");
    }
    let started = Instant::now();
    let count = |folder: &str| std::fs::read_dir(cache.path().join(folder)).unwrap().count();
    while (count("packs"), count("coming")) != (1, 0) {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "nobody fetches it, or nobody removes what is left"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    source.place(&task("t"), 1).await.unwrap();
    assert_eq!(metrics.store.requests.with_label_values(&["pack", "ok"]).get(), 1, "one fetch for all");
}

#[tokio::test]
async fn an_older_pointer_never_covers_a_newer_one() {
    let (memory, slow) = slow();
    let (fast, store): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) = (memory, Arc::clone(&slow) as _);
    objects(&fast).publish(&task("t"), archive(1).into(), stable(None)).await.unwrap();
    let source = Arc::new(objects(&store));
    slow.config_mut(|config| config.wait_get_per_byte = Duration::from_millis(2));
    let late = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.refresh(&task("t")).await.unwrap().unwrap().stable() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    slow.config_mut(|config| config.wait_get_per_byte = Duration::ZERO);
    objects(&fast).publish(&task("t"), archive(2).into(), stable(None)).await.unwrap();
    assert_eq!(source.refresh(&task("t")).await.unwrap().unwrap().stable(), Some(2));
    assert!(!late.is_finished());
    assert_eq!(late.await.unwrap(), Some(2));
    assert_eq!(source.known(&task("t")).unwrap().stable(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_comes_after_its_pointer_takes_nothing_back() {
    let shop = Shop::new();
    shop.publish("t", 1, 1).await;
    shop.publish("t", 2, 2).await;
    let (two, path) = (shop.archive(2, 2), blob(&shop.archive(2, 2)));
    let mut wrong = two.to_vec();
    wrong[600] ^= 1;
    let app = Server::build(shop.config()).await.unwrap().app();
    shop.store.delete(&path).await.unwrap();
    for bytes in [None, Some(wrong)] {
        if let Some(bytes) = bytes {
            shop.store.put(&path, bytes.into()).await.unwrap();
            // A failure is believed for a moment.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        let answer = classify(&app, "t", image("rgb.png")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "not_ready".into()), "{}", answer.text());
    }
    shop.store.put(&path, two.into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let answer = classify(&app, "t", image("rgb.png")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["version"].as_u64()),
        (200, Some(2)),
        "{}",
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pack_that_does_not_come_delays_no_other_task() {
    let (memory, slow) = slow();
    let (fast, shop) = (Arc::clone(&memory) as Arc<dyn ObjectStore>, Shop::over(Arc::clone(&slow) as _));
    for name in ["a", "b"] {
        shop.publish(name, 1, 1).await;
    }
    let server = Server::build(shop.config()).await.unwrap();
    let (app, reloader) = (server.app(), Arc::clone(server.reloader()));
    for name in ["a", "b"] {
        assert_eq!(classify(&app, name, image("rgb.png")).await.status, 200);
    }
    let follow = async move { reloader.follow(Duration::from_millis(20), Duration::from_secs(300)).await };
    let follower = tokio::spawn(follow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // `a` has a large pack: it takes 20 s, and a pointer a hundredth of one.
    let large = super::large_archive(1 << 20);
    objects(&fast).publish(&task("a"), large.into(), stable(None)).await.unwrap();
    slow.config_mut(|config| config.wait_get_per_byte = Duration::from_micros(20));
    tokio::time::sleep(Duration::from_millis(200)).await;
    slow.config_mut(|config| config.wait_get_per_byte = Duration::ZERO);
    let two = shop.archive(2, 2);
    objects(&fast).publish(&task("b"), two.into(), stable(None)).await.unwrap();
    let started = Instant::now();
    while classify(&app, "b", image("rgb.png")).await.json()["version"].as_u64() != Some(2) {
        assert!(started.elapsed() < Duration::from_secs(5), "b waits for a");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    follower.abort();
}
