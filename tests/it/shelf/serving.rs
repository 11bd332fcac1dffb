//! A server over a store: learning, following, a store that is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use mimi_server::serve::Server;
use mimi_server::shelf::{Edit, Folder, PackSource};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{Shop, objects, stable, task};
use crate::publish::command;
use crate::server::{Answer, World, classify, get, image, post, send};

/// The line of a server that was never told that nothing has changed.
const NEVER_UNCHANGED: &str = "{outcome=\"unchanged\",request=\"changes\"} 0";

/// The server's loop beside it, as `serve` runs it.
async fn following(shop: &Shop) -> (Server, tokio::task::JoinHandle<()>) {
    let server = Server::build(shop.config()).await.unwrap();
    let reloader = Arc::clone(server.reloader());
    let follow = async move { reloader.follow(Duration::from_millis(20), Duration::from_secs(300)).await };
    (server, tokio::spawn(follow))
}

async fn label(app: &Router, task: &str) -> (u64, String) {
    let answer = classify(app, task, image("rgb.png")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let json = answer.json();
    (json["version"].as_u64().unwrap(), json["predictions"][0]["label"].as_str().unwrap().to_owned())
}

async fn until(app: &Router, task: &str, expected: u64) {
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
    let mut series = get(&app, "/metrics").await.text();
    for _ in 0..200 {
        if !series.contains(NEVER_UNCHANGED) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        series = get(&app, "/metrics").await.text();
    }
    assert!(series.contains("mimi_store_seq 3") && series.contains("mimi_store_away 0"), "{series}");
    assert!(!series.contains(NEVER_UNCHANGED), "{series}");
    assert!(series.contains("task=\"t\"") && !series.contains("t@1"), "labels are tasks");
    follower.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_is_away_costs_nothing_that_is_here() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let shop = Shop::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    for name in ["warm", "cold", "late"] {
        shop.publish(name, 1, 1).await;
    }
    let (server, follower) = following(&shop).await;
    let app = server.app();
    label(&app, "warm").await;
    label(&app, "cold").await;
    faulty.is_away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(label(&app, "warm").await.0, 1);
    let ready = get(&app, "/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["store_away"]), (200, &true.into()));
    assert!(get(&app, "/metrics").await.text().contains("mimi_store_away 1"));
    let answer = classify(&app, "late", image("rgb.png")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "not_ready".into()), "{}", answer.text());
    assert!(answer.text().contains("the store"), "{}", answer.text());
    faulty.is_away.store(false, Ordering::SeqCst);
    let started = Instant::now();
    while classify(&app, "late", image("rgb.png")).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(4), "it is not learned once the store is back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(&app, "/readyz").await.json().get("store_away").is_none());
    assert_eq!(faulty.lists.load(Ordering::SeqCst), 0, "serving lists nothing");
    follower.abort();
    // Another server beside finds the copies on disk.
    let before = faulty.requests();
    let other = Server::build(shop.config()).await.unwrap().app();
    label(&other, "warm").await;
    assert_eq!(faulty.requests(), before + 1, "its pointer alone is asked for");
}

async fn put(app: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(app, Request::put(path).body(body.into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_comes_as_one_file() {
    let (shop, world) = (Shop::new(), World::new());
    let (one, two) = (shop.archive(1, 1), shop.archive(2, 2));
    let to_store = Server::build(shop.config()).await.unwrap().app();
    let to_folder = world.server().await.app();
    for app in [to_store, to_folder] {
        let answer = put(&app, "/v1/tasks/t/versions/1", one.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["digest"].as_str().unwrap().len(), 64);
        assert_eq!(label(&app, "t").await, (1, "class-1".into()));
        assert_eq!(put(&app, "/v1/tasks/t/versions/1", one.clone()).await.status, 200, "the same again");
        for (path, body, code) in [
            ("/v1/tasks/t/versions/1", two.to_vec(), "invalid_request"),
            ("/v1/tasks/t/versions/0", two.to_vec(), "invalid_request"),
            ("/v1/tasks/t/versions/x", two.to_vec(), "invalid_request"),
            ("/v1/tasks/T/versions/2", two.to_vec(), "task_not_found"),
            ("/v1/tasks/t/versions/2", two[..two.len() - 1].to_vec(), "pack_invalid"),
            ("/v1/tasks/t/versions/2", b"no pack".to_vec(), "pack_invalid"),
            ("/v1/tasks/t/versions/2", super::archive(1).to_vec(), "pack_invalid"),
            ("/v1/tasks/t/versions/2?x=1", two.to_vec(), "invalid_request"),
        ] {
            let answer = put(&app, path, body).await;
            assert_eq!(answer.code(), code, "{path}: {}", answer.text());
            assert_eq!(label(&app, "t").await.0, 1);
        }
        assert_eq!(put(&app, "/v1/tasks/t/versions/2", two.clone()).await.status, 200);
        assert_eq!(label(&app, "t").await, (2, "class-2".into()));
    }
    let source = Folder::new(world.adapters.path().to_owned());
    assert_eq!(source.pointer(&task("t")).await.unwrap().unwrap().newest(), Some(2));
    let left = std::fs::read_dir(world.adapters.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with("partial")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn labels_in_a_folder_say_what_answers() {
    let world = World::new();
    for version in 1..=3 {
        world.publish("t", &world.contents(version, version as usize));
    }
    let server = world.server().await;
    let (app, reloader) = (server.app(), Arc::clone(server.reloader()));
    let watcher = tokio::spawn(async move { reloader.watch(Duration::from_millis(20)).await });
    assert_eq!(label(&app, "t").await, (3, "class-3".into()));
    let source = Folder::new(world.adapters.path().to_owned());
    let back = || Edit::Label { label: "stable".into(), version: None };
    source.edit(&task("t"), back()).await.unwrap();
    until(&app, "t", 2).await;
    source.edit(&task("t"), back()).await.unwrap();
    until(&app, "t", 1).await;
    assert_eq!(label(&app, "t@3").await, (3, "class-3".into()));
    // A reload says what labels say; a newer version waits for its label; another start sees the same.
    world.publish("t", &world.contents(4, 0));
    let answer = post(&app, "/v1/tasks/t/reload", "application/json", "").await;
    assert_eq!(answer.json()["version"].as_u64(), Some(1), "{}", answer.text());
    assert_eq!(label(&world.server().await.app(), "t").await.0, 1);
    source.edit(&task("t"), Edit::Label { label: "stable".into(), version: Some(4) }).await.unwrap();
    until(&app, "t", 4).await;
    // Labels that cannot be read change nothing.
    std::fs::write(world.task("t").join("next"), "{").unwrap();
    std::fs::rename(world.task("t").join("next"), world.task("t").join("labels.json")).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(label(&app, "t").await.0, 4);
    assert!(get(&app, "/v1/tasks/t").await.json()["kept"].as_str().unwrap().contains("labels.json"));
    watcher.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_a_source_is_verified() {
    let world = World::new();
    world.publish("good", &world.contents(1, 1));
    world.publish("bad", &world.contents(1, 1));
    world.publish("bad", &world.contents(2, 2));
    let weights = world.task("bad").join("1").join(mimi_server::pack::WEIGHTS_FILE);
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let folder = world.adapters.path().display().to_string();
    let verify = |more: &[&str]| {
        let done = command(&world, world.adapters.path(), "verify", &[&["--in", &folder], more].concat());
        let told = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        (done.status.success(), told)
    };
    let (is_good, told) = verify(&[]);
    assert!(!is_good && told.contains("2 tasks, 3 versions: 2 good, 1 wrong"), "{told}");
    assert!(told.contains("bad") && told.contains("sha256"), "{told}");
    let (is_good, told) = verify(&["--stable-only"]);
    assert!(is_good && told.contains("2 tasks, 2 versions: 2 good, 0 wrong"), "{told}");
}

#[tokio::test]
async fn an_archive_of_another_task_is_no_trouble() {
    // What a pack is called is its pointer's business: the same bytes may be two tasks.
    let shop = Shop::new();
    let archive = shop.archive(1, 1);
    for name in ["a", "b"] {
        objects(&shop.store).publish(&task(name), archive.clone().into(), stable(None)).await.unwrap();
    }
    let app = Server::build(shop.config()).await.unwrap().app();
    assert_eq!((label(&app, "a").await.0, label(&app, "b").await.0), (1, 1));
}
