//! A version that comes as a body: written to the disk as it comes, and nothing of it left when it does not come whole.

use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use bytes::Bytes;
use futures::StreamExt;
use mimi_server::files;
use mimi_server::serve::{Config, Server};
use mimi_server::tenants::Scope;
use tokio::sync::mpsc;

use super::Shop;
use crate::server::{Answer, World, classify, get, image, post, send};
use crate::tenants::{Key, Written, ask};

/// A `PUT` whose body comes as it is sent, and never ends before the sender goes.
fn put(app: &Router, task: &str) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Answer>) {
    put_by(app, task, None)
}

fn put_by(
    app: &Router,
    task: &str,
    key: Option<&Key>,
) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Answer>) {
    let (sender, pieces) = mpsc::channel::<Bytes>(1);
    let pieces = futures::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (Ok::<_, Infallible>(piece), pieces))
    });
    let request = Request::put(format!("/v1/tasks/{task}/versions/1"));
    let show =
        |request: Builder, key: &Key| request.header("authorization", format!("Bearer {}", key.secret));
    let request = key.into_iter().fold(request, show);
    let (app, request) = (app.clone(), request.body(Body::from_stream(pieces)).unwrap());
    (sender, tokio::spawn(async move { send(&app, request).await }))
}

async fn held(app: &Router) -> u64 {
    let text = get(app, "/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with("mimi_request_bytes ")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What a folder has, but for what the server keeps there of itself.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Sizes of files of this process on the disk of a folder that have no name.
fn nameless(folder: &Path) -> Vec<u64> {
    let folder = folder.canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).ok()?;
        let is_nameless = target.to_string_lossy().ends_with("(deleted)") && target.starts_with(&folder);
        is_nameless.then(|| std::fs::metadata(&path).map_or(0, |found| found.len()))
    });
    open.collect()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_is_on_the_disk_and_not_in_memory() {
    let (shop, world) = (Shop::new(), World::new());
    let archive = shop.archive(1, 1);
    let to_store = (Server::build(shop.config()).await.unwrap().app(), shop.cache.path());
    let to_folder = (world.server().await.app(), world.adapters.path());
    for (app, folder) in [to_store, to_folder] {
        let before = names(folder);
        let (sender, answer) = put(&app, "t");
        let (first, last) = archive.split_at(archive.len() - 1);
        for piece in first.chunks(1000) {
            sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let is_there = || nameless(folder).iter().any(|bytes| *bytes > first.len() as u64 - 2000);
        until("the body is not written to the disk", is_there).await;
        assert_eq!(held(&app).await, 0, "the body is held in memory");
        assert_eq!(names(folder), before, "a crash would leave it");
        assert!(!answer.is_finished());
        sender.send(Bytes::copy_from_slice(last)).await.unwrap();
        drop(sender);
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(classify(&app, "t", image("rgb.png")).await.status, 200);
        assert_eq!(held(&app).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_that_does_not_come_whole_leaves_nothing() {
    let world = World::new();
    let (app, archive) = (world.server().await.app(), Shop::new().archive(1, 1));
    let before = names(world.adapters.path());
    for ends in [true, false] {
        let (sender, answer) = put(&app, "t");
        sender.send(archive.slice(..archive.len() / 2)).await.unwrap();
        if ends {
            drop(sender);
            let answer = answer.await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (422, "pack_invalid".into()),
                "{}",
                answer.text()
            );
        } else {
            // Its client is gone.
            answer.abort();
            assert!(answer.await.is_err());
        }
        assert_eq!(names(world.adapters.path()), before);
        until("its file stays", || nameless(world.adapters.path()).is_empty()).await;
        assert_eq!(classify(&app, "t", image("rgb.png")).await.code(), "task_not_found");
    }
    // One byte more than a body may have.
    let (sender, answer) = put(&app, "t");
    let most = world.config().http.payload_limit;
    for piece in [vec![0; most], vec![0]] {
        sender.send(piece.into()).await.unwrap();
    }
    assert_eq!(answer.await.unwrap().status, 413);
    assert_eq!(names(world.adapters.path()), before);
    // The same client comes again.
    let (sender, answer) = put(&app, "t");
    sender.send(archive).await.unwrap();
    drop(sender);
    assert_eq!(answer.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bodies_that_come_slowly_keep_no_reload_out() {
    let world = World::new();
    world.publish("u", &world.contents(1, 1));
    let app = world.server().await.app();
    let mut slow: Vec<_> = (0..32).map(|index| put(&app, &format!("t{index}"))).collect();
    for (sender, _) in &slow {
        sender.send(Bytes::from_static(b"a")).await.unwrap();
    }
    // Each is being read: its next piece is waited for.
    let _ = futures::stream::iter(&slow).then(|(sender, _)| sender.reserve()).collect::<Vec<_>>().await;
    let (sender, one_more) = put(&app, "one-more");
    let answer = one_more.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "overloaded".into()), "{}", answer.text());
    drop(sender);
    assert_eq!(post(&app, "/v1/tasks/u/reload", "application/json", "").await.status, 200);
    // A place is free once one of them is gone.
    drop(slow.pop().unwrap().0);
    let started = Instant::now();
    loop {
        let (sender, answer) = put(&app, "one-more");
        drop(sender);
        match answer.await.unwrap().status.as_u16() {
            422 => break,
            status => assert_eq!(status, 429),
        }
        assert!(started.elapsed() < Duration::from_secs(5), "its place stays taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_sends_one_version_at_a_time_and_publishes_others_meanwhile() {
    let world = World::new();
    for name in ["a.t", "b.t"] {
        world.publish(name, &world.contents(1, 1));
    }
    let keys = ["a", "b"].map(|name| (name, Key::new(&format!("owner{name}"))));
    let tenant = |(name, key): &(&str, Key)| {
        format!("[tenants.{name}]\ntasks = [\"{name}.*\"]\n{}", key.lines(name, &[Scope::Publish], ""))
    };
    let file = Written::new(&format!("version = 1\n{}", keys.iter().map(tenant).collect::<String>()));
    let config = Config { tenants: Some(file.path.clone()), ..world.config() };
    let app = Server::build(config).await.unwrap().app();
    let [(_, a), (_, b)] = &keys;
    let (slow, answer) = put_by(&app, "a.new", Some(a));
    slow.send(Bytes::from_static(b"a")).await.unwrap();
    slow.reserve().await.map(drop).unwrap();
    let (_more, second) = put_by(&app, "a.other", Some(a));
    assert_eq!(second.await.unwrap().code(), "overloaded");
    assert_eq!(ask(&app, "POST", "/v1/tasks/a.t/reload", Some(&a.secret)).await.status, 200);
    let (sender, other) = put_by(&app, "b.new", Some(b));
    drop(sender);
    assert_eq!(other.await.unwrap().code(), "pack_invalid", "another tenant has its own turn");
    drop(slow);
    assert_eq!(answer.await.unwrap().code(), "pack_invalid");
}

#[tokio::test]
async fn what_a_killed_server_unpacked_goes_at_a_later_start() {
    let world = World::new();
    let root = world.adapters.path();
    let named = |nanoseconds: u128| root.join(format!(".received.1.{nanoseconds:x}.2.partial"));
    let (old, young) = (named(1_000_000_000), files::beside(&root.join("received")));
    for folder in [&old, &young] {
        std::fs::create_dir(folder).unwrap();
    }
    let running = world.start().await;
    until("it stays", || !old.exists()).await;
    assert!(young.exists(), "another server may be at work on it");
    running.end().await.unwrap().unwrap();
}
