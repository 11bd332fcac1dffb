//! Versions that a request names, and those that stand in for a broken one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use mimi_server::pack::{Contents, SelfTest, WEIGHTS_FILE};
use mimi_server::serve::{self, Server};
use mimi_server::shelf::{Edit, Folder, Naming, PackSource};
use mimi_server::tenants::Scope;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{Shop, objects, stable, task};
use crate::server::{World, classify, get, image};
use crate::tenants::{Key, Written, ask};

async fn version(app: &Router, name: &str) -> Option<u64> {
    let answer = classify(app, name, image("rgb.png")).await;
    (answer.status == 200).then(|| answer.json()["version"].as_u64().unwrap())
}

/// A pack that does not give its stored answers.
fn wrong(world: &World, seed: u64) -> Contents {
    let mut contents = world.contents(seed, 2);
    contents.self_test =
        SelfTest { images: vec![image("rgb.png")], logits: vec![vec![0.0, 0.0, 1000.0, 5.0]] };
    contents
}

fn to(version: u64) -> Edit {
    Edit::Label { label: "stable".into(), version: Some(version) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_asked_for_is_never_another() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let folder = world.publish("t", &world.contents(2, 2));
    std::fs::write(folder.join(WEIGHTS_FILE), b"broken").unwrap();
    let app = world.server().await.app();
    assert_eq!(version(&app, "t@2").await, None);
    assert_eq!(version(&app, "t").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_fails_is_not_tested_at_every_request() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    world.publish("t", &wrong(&world, 2));
    let app = world.server().await.app();
    assert_eq!(version(&app, "t@2").await, None);
    let batches = async || {
        let series = get(&app, "/metrics").await.text();
        let line = series.lines().find(|line| line.starts_with("mimi_batch_rows_count")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = batches().await;
    for _ in 0..5 {
        let answer = classify(&app, "t@2", image("rgb.png")).await;
        assert!(answer.text().contains("self-test image 0"), "{}", answer.text());
    }
    assert_eq!(batches().await, before, "its stored answers are not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_address_what_labels_name() {
    let world = World::new();
    for seed in 1..=3 {
        world.publish("a.t", &world.contents(seed, 1));
    }
    let source = Folder::new(world.adapters.path().to_owned());
    source.edit(&task("a.t"), to(2)).await.unwrap();
    let (owner, guest) = (Key::new("owner"), Key::new("guest"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n{}[tenants.b]\nuses = [\"a.*\"]\n{}",
        owner.lines("a", &[Scope::Infer], ""),
        guest.lines("b", &[Scope::Infer], "")
    ));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let app = Server::build(config).await.unwrap().app();
    let status = async |key: &Key, version: u64| {
        let path = format!("/v1/tasks/a.t@{version}/classify");
        ask(&app, "POST", &path, Some(&key.secret)).await.status.as_u16()
    };
    for (version, to_guest) in [(1, 404), (2, 200), (3, 404)] {
        assert_eq!((status(&owner, version).await, status(&guest, version).await), (200, to_guest));
    }
    let canary = Edit::Label { label: "canary".into(), version: Some(3) };
    source.edit(&task("a.t"), canary).await.unwrap();
    assert_eq!(status(&guest, 3).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_no_label_names_stands_in_for_none() {
    let shop = Shop::new();
    let source = objects(&shop.store);
    let quiet = || Naming { version: None, label: None };
    shop.publish("t", 1, 1).await;
    source.publish(&task("t"), shop.archive(2, 2).into(), quiet()).await.unwrap();
    let folder = shop.world.publish("aside", &wrong(&shop.world, 3));
    let broken = mimi_server::pack::archive(&mimi_server::files::System, &folder).unwrap();
    source.publish(&task("t"), broken.into(), stable(None)).await.unwrap();
    let app = Server::build(shop.config()).await.unwrap().app();
    assert_eq!(version(&app, "t").await, None);
    // A folder with labels is no different.
    let world = World::new();
    for seed in 1..=3 {
        world.publish("t", &world.contents(seed, 1));
    }
    Folder::new(world.adapters.path().to_owned()).edit(&task("t"), to(2)).await.unwrap();
    std::fs::write(world.task("t").join("2").join(WEIGHTS_FILE), b"broken").unwrap();
    assert_eq!(version(&world.server().await.app(), "t").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_a_stable_version_is_addressable() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let shop = Shop::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    let quiet = Naming { version: None, label: None };
    objects(&shop.store).publish(&task("t"), shop.archive(1, 1).into(), quiet).await.unwrap();
    let server = Server::build(shop.config()).await.unwrap();
    let app = server.app();
    assert_eq!((version(&app, "t").await, version(&app, "t@1").await), (None, Some(1)));
    assert_eq!(version(&app, "t@2").await, None);
    server.reloader().verify_version(&task("t"), 1).await.unwrap();
    // A store that is away says nothing of a version.
    shop.publish("u", 2, 2).await;
    server.reloader().learn(&task("u")).await.unwrap();
    faulty.is_away.store(true, Ordering::SeqCst);
    let error = server.reloader().verify_version(&task("u"), 1).await.unwrap_err();
    assert!(error.is_of_store(), "{error}");
}
