//! What others do leaves a task as it is: confirmations, repeated publications, slow neighbours, made-up names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use mimi_server::pack::WEIGHTS_FILE;
use mimi_server::serve::Server;
use mimi_server::shelf::{Edit, Folder, PackSource, Settings, StoreAt, StoreOptions, Sweep};
use mimi_server::tenants::Scope;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{Shop, archive, objects, stable, task};
use crate::server::{World, classify, get, image, post, send};
use crate::tenants::{Key, Written, ask};

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_takes_no_task_of_a_store_away() {
    let shop = Shop::new();
    shop.publish("t", 1, 1).await;
    let app = Server::build(shop.config()).await.unwrap().app();
    assert_eq!(classify(&app, "t", image("rgb.png")).await.status, 200);
    let answer = post(&app, "/v1/folder/confirm", "application/json", "").await;
    assert_eq!(answer.json()["unpublished"], 0, "{}", answer.text());
    assert_eq!(get(&app, "/v1/tasks/t").await.json()["version"], 1);
}

#[tokio::test]
async fn a_repeated_publication_takes_nothing_back() {
    let (store, root): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    let sources: [Arc<dyn PackSource>; 2] =
        [Arc::new(objects(&store)), Arc::new(Folder::new(root.path().to_owned()))];
    for source in sources {
        let t = task("t");
        for seed in 1..=2 {
            source.publish(&t, archive(seed).into(), stable(None)).await.unwrap();
        }
        let again = source.publish(&t, archive(1).into(), stable(1)).await.unwrap();
        assert_eq!((again.done.version(), again.done.is_change()), (1, false));
        assert_eq!(source.pointer(&t).await.unwrap().unwrap().stable(), Some(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_folder_is_held_keeps_no_other_waiting() {
    let world = World::new();
    world.publish("u", &world.contents(1, 1));
    std::fs::create_dir_all(world.task("t")).unwrap();
    let held = std::fs::File::create(world.task("t").join(".lock")).unwrap();
    held.lock().unwrap();
    let (app, one) = (world.server().await.app(), Shop::new().archive(1, 1));
    let put = {
        let app = app.clone();
        let request = Request::put("/v1/tasks/t/versions/1").body(Body::from(one)).unwrap();
        tokio::spawn(async move { send(&app, request).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    let answer = post(&app, "/v1/tasks/u/reload", "application/json", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(started.elapsed() < Duration::from_secs(3) && !put.is_finished());
    held.unlock().unwrap();
    let answer = put.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A server whose store takes connections and never answers.
async fn waiting(shop: &Shop, silent: &std::net::TcpListener, tenants: Option<&Written>) -> Server {
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = super::s3::settings(&endpoint, "secret");
    let tenants = tenants.map(|tenants| tenants.path.clone());
    let mut config = mimi_server::serve::Config { tenants, ..shop.config() };
    let at = StoreAt::Address("s3://bucket/packs".into(), Settings::new(settings));
    config.store = config.store.map(|store| StoreOptions { at, ..store });
    Server::build(config).await.unwrap()
}

/// A tenant that may use another's tasks takes its own places with what it asks for, not the other's.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_take_the_places_of_the_tenant_that_asks() {
    let (shop, silent) = (Shop::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let (owner, user) = (Key::new("owner"), Key::new("user"));
    let text = format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n{}[tenants.c]\nuses = [\"a.*\"]\n{}",
        owner.lines("a", &[Scope::Read], ""),
        user.lines("c", &[Scope::Read], "")
    );
    let file = Written::new(&text);
    let app = waiting(&shop, &silent, Some(&file)).await.app();
    let path = |name: &str| format!("/v1/tasks/a.{name}");
    let asked = (0..128).map(|number| {
        let (app, path, key) = (app.clone(), path(&format!("n{number}")), user.secret.clone());
        tokio::spawn(async move { ask(&app, "GET", &path, Some(&key)).await })
    });
    let asked: Vec<_> = asked.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = ask(&app, "GET", &path("more"), Some(&user.secret)).await;
    assert_eq!(answer.code(), "overloaded", "{}", answer.text());
    let (request, key) = (path("own"), Some(owner.secret.as_str()));
    let own = ask(&app, "GET", &request, key);
    assert!(tokio::time::timeout(Duration::from_millis(200), own).await.is_err(), "it waits for the store");
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_are_refused_beyond_a_limit() {
    let (shop, silent) = (Shop::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let server = waiting(&shop, &silent, None).await;
    let names = (0..1024).map(|number| {
        let reloader = Arc::clone(server.reloader());
        tokio::spawn(async move { reloader.learn(&task(&format!("n{number}"))).await })
    });
    let asked: Vec<_> = names.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = classify(&server.app(), "one-more", image("rgb.png")).await;
    assert_eq!(answer.code(), "overloaded", "{}", answer.text());
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_not_told_where_a_store_is() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new())));
    let shop = Shop::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    shop.publish("t", 1, 1).await;
    let server = Server::build(shop.config()).await.unwrap();
    let app = server.app();
    server.reloader().learn(&task("t")).await.unwrap();
    faulty.is_away.store(true, Ordering::SeqCst);
    for name in ["t", "unknown"] {
        let answer = classify(&app, name, image("rgb.png")).await;
        let told = answer.text() + &get(&app, "/v1/tasks/t").await.text();
        assert_eq!(answer.status, 503, "{told}");
        assert!(told.contains("the store of packs does not answer"), "{told}");
        assert!(!told.contains("refused") && !told.contains("packs/"), "{told}");
    }
}

#[tokio::test]
async fn a_label_whose_version_is_away_is_not_lost() {
    let root = tempfile::tempdir().unwrap();
    let (source, t) = (Folder::new(root.path().to_owned()), task("t"));
    for seed in 1..=3 {
        source.publish(&t, archive(seed).into(), stable(None)).await.unwrap();
    }
    let label = |label: &str, version| Edit::Label { label: label.into(), version: Some(version) };
    source.edit(&t, label("stable", 2)).await.unwrap();
    source.edit(&t, label("canary", 3)).await.unwrap();
    let (here, away) = (root.path().join("t/3"), root.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    let sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };
    for error in [
        source.edit(&t, label("stable", 1)).await.unwrap_err(),
        source.publish(&t, archive(4).into(), stable(None)).await.unwrap_err(),
        source.sweep(sweep).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("label canary names version 3, which is not there"), "{error}");
    }
    std::fs::rename(&away, &here).unwrap();
    let pointer = source.pointer(&t).await.unwrap().unwrap();
    assert_eq!((pointer.labels.get("canary"), pointer.stable()), (Some(&3), Some(2)));
    // One that is gone for good is moved.
    std::fs::remove_dir_all(&here).unwrap();
    source.edit(&t, label("canary", 1)).await.unwrap();
    assert_eq!(source.publish(&t, archive(4).into(), stable(None)).await.unwrap().done.version(), 3);
}

#[tokio::test]
async fn an_old_version_that_cannot_be_read_keeps_no_new_one_out() {
    let root = tempfile::tempdir().unwrap();
    let (source, t) = (Folder::new(root.path().to_owned()), task("t"));
    for seed in 1..=2 {
        source.publish(&t, archive(seed).into(), stable(None)).await.unwrap();
    }
    let unreadable = |version: u64| {
        let weights = root.path().join(format!("t/{version}/{WEIGHTS_FILE}"));
        std::fs::remove_file(&weights).unwrap();
        std::fs::create_dir(&weights).unwrap();
    };
    unreadable(1);
    assert_eq!(source.publish(&t, archive(3).into(), stable(None)).await.unwrap().done.version(), 3);
    assert!(source.pointer(&t).await.is_err(), "what cannot be read may be there");
    unreadable(3);
    assert!(source.publish(&t, archive(4).into(), stable(None)).await.is_err(), "its number is taken");
}

#[tokio::test]
async fn what_a_crash_left_beside_the_tasks_is_swept() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(".received.1.2.3.partial")).unwrap();
    let sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };
    assert_eq!(Folder::new(root.path().to_owned()).sweep(sweep).await.unwrap().blobs, 1);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_pack_is_written_although_the_environment_names_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("p.mipack"), folder.path().join("out.mipack"));
    std::fs::write(&file, archive(1)).unwrap();
    let (file, out) = (file.display().to_string(), out.display().to_string());
    let mut command = crate::support::command(&["publish", "--pack-to", &out, &file]);
    let done = command.env("MIMI_PACKS", "nowhere").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read(out).unwrap(), archive(1));
}
