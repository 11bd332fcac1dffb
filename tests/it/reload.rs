//! New versions: wholly old or wholly new, and never broken.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use mimi_server::pack::{CONFIG_FILE, SelfTest, WEIGHTS_FILE};
use serde_json::Value;

use crate::server::{World, classify, get, image, post};
use crate::support::FAMILIES;

async fn label(app: &Router, task: &str) -> (u64, String) {
    let answer = classify(app, task, image("rgb.png")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let json = answer.json();
    (json["version"].as_u64().unwrap(), json["predictions"][0]["label"].as_str().unwrap().to_owned())
}

async fn reload(app: &Router, task: &str) -> crate::server::Answer {
    post(app, &format!("/v1/tasks/{task}/reload"), "application/json", "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_under_load_gives_wholly_old_or_wholly_new_answers() {
    for fixture in FAMILIES {
        swap_under_load(World::of(fixture)).await;
    }
}

async fn swap_under_load(world: World) {
    world.publish("t", &world.contents(1, 1));
    world.publish("other", &world.contents(9, 3));
    let server = world.server().await;
    let app = server.app();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (app, stop, answered) = (app.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let task = if client == 0 { "other" } else { "t" };
                    let (version, label) = label(&app, task).await;
                    // Version v of `t` prefers class v % 4: a mixture of two versions would show.
                    let expected = if client == 0 { 3 } else { version % 4 };
                    assert_eq!(label, format!("class-{expected}"), "version {version}");
                    seen.insert(version);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    for version in 2..=40u64 {
        world.publish("t", &world.contents(version, (version % 4) as usize));
        let answer = reload(&app, "t").await;
        assert_eq!(answer.json()["version"].as_u64(), Some(version), "{}", answer.text());
        // What was acknowledged is live: the next request gets it.
        assert_eq!(label(&app, "t").await.0, version);
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = BTreeSet::new();
    for client in clients {
        seen.extend(client.await.unwrap());
    }
    assert!(seen.len() > 5 && answered.load(Ordering::Relaxed) > 40, "the load was too light: {seen:?}");
}

/// Waits up to two seconds for `done`.
async fn within_two_seconds<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(2), "{what} did not come about within 2 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watcher_publishes_new_tasks_and_versions_and_unpublishes_removed_ones() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let server = world.server().await;
    let app = server.app();
    let watcher = tokio::spawn({
        let reloader = Arc::clone(server.reloader());
        async move { reloader.watch(Duration::from_millis(20)).await }
    });
    assert_eq!(label(&app, "t").await, (1, "class-1".into()));
    world.publish("t", &world.contents(2, 2));
    within_two_seconds("version 2", || async { label(&app, "t").await == (2, "class-2".into()) }).await;
    world.publish("new", &world.contents(3, 3));
    within_two_seconds("the new task", || async { get(&app, "/v1/tasks/new").await.status == 200 }).await;
    assert_eq!(label(&app, "new").await, (1, "class-3".into()));
    // Taking the live version away rolls back to the one before.
    std::fs::remove_dir_all(world.task("t").join("2")).unwrap();
    within_two_seconds("the roll-back", || async { label(&app, "t").await == (1, "class-1".into()) }).await;
    std::fs::remove_dir_all(world.task("t")).unwrap();
    within_two_seconds("the removal", || async { classify(&app, "t", image("rgb.png")).await.status == 404 })
        .await;
    watcher.abort();
}

/// What is broken, how, and words that the reason must hold.
type Breakage = (&'static str, fn(&Path), &'static str);

/// Ways to break a pack on disk.
fn breakages() -> Vec<Breakage> {
    fn edit(dir: &Path, change: impl FnOnce(&mut Value)) {
        let path = dir.join(CONFIG_FILE);
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
    }
    fn weights(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let path = dir.join(WEIGHTS_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let digest = sha2::Sha256::digest(&bytes);
        edit(dir, |json| {
            json["weights_sha256"] = digest.iter().map(|b| format!("{b:02x}")).collect::<String>().into()
        });
    }
    use sha2::Digest;
    fn data_start(bytes: &[u8]) -> usize {
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
    }
    vec![
        ("no manifest", |d| std::fs::remove_file(d.join(CONFIG_FILE)).unwrap(), "adapter_config.json"),
        ("no tensors", |d| std::fs::remove_file(d.join(WEIGHTS_FILE)).unwrap(), "adapter_model.safetensors"),
        (
            "manifest cut short",
            |d| std::fs::write(d.join(CONFIG_FILE), "{\"format_version\"").unwrap(),
            "EOF",
        ),
        ("another format", |d| edit(d, |j| j["format_version"] = 99.into()), "format_version = 99"),
        ("another kind", |d| edit(d, |j| j["peft_type"] = "LORA".into()), "peft_type = LORA"),
        ("wrong fingerprint", |d| edit(d, |j| j["base_model_sha256"] = "00".into()), "belongs to backbone"),
        ("wrong digest", |d| edit(d, |j| j["weights_sha256"] = "00".into()), "sha256"),
        ("another activation", |d| edit(d, |j| j["activation"] = "quick_gelu".into()), "activation"),
        ("unknown activation", |d| edit(d, |j| j["activation"] = "maxout".into()), "maxout"),
        ("no labels", |d| edit(d, |j| j["labels"] = Value::Array(vec![])), "labels = 0"),
        ("a label twice", |d| edit(d, |j| j["labels"][1] = "class-0".into()), "listed twice"),
        ("fewer labels", |d| edit(d, |j| drop(j["labels"].as_array_mut().unwrap().pop())), "head.weight"),
        (
            "a site beyond the backbone",
            |d| edit(d, |j| j["adapter_widths"]["blocks.9.mlp"] = 1.into()),
            "blocks.9.mlp",
        ),
        ("a site that is none", |d| edit(d, |j| j["adapter_widths"]["../x"] = 1.into()), "../x"),
        ("a huge width", |d| edit(d, |j| j["adapter_widths"]["blocks.1.attn"] = 99999.into()), "99999"),
        (
            "another width",
            |d| edit(d, |j| j["adapter_widths"]["blocks.1.attn"] = 5.into()),
            "expected F32 [5, 48]",
        ),
        ("a site in both lists", |d| edit(d, |j| j["leave_out"][0] = "blocks.1.attn".into()), "leave_out"),
        (
            "another image size",
            |d| edit(d, |j| j["preprocessing"]["image_size"] = 64.into()),
            "preprocessing",
        ),
        ("an unknown precision", |d| edit(d, |j| j["precision"] = "int4".into()), "int4"),
        ("tensors cut short", |d| weights(d, |b| b.truncate(b.len() - 9)), "safetensors"),
        ("no header", |d| weights(d, |b| b.truncate(4)), "safetensors"),
        ("empty tensors", |d| weights(d, Vec::clear), "safetensors"),
        (
            "hostile header length",
            |d| weights(d, |b| b[..8].copy_from_slice(&u64::MAX.to_le_bytes())),
            "safetensors",
        ),
        (
            "header beyond the file",
            |d| weights(d, |b| b[..8].copy_from_slice(&90_000_000u64.to_le_bytes())),
            "safetensors",
        ),
        (
            "NaN",
            |d| {
                weights(d, |b| {
                    let at = data_start(b);
                    b[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes())
                })
            },
            "NaN",
        ),
        (
            "infinity",
            |d| {
                weights(d, |b| {
                    let at = b.len() - 4;
                    b[at..].copy_from_slice(&f32::INFINITY.to_le_bytes())
                })
            },
            "inf",
        ),
        (
            "too many self-test images",
            |d| edit(d, |j| j["self_test"]["images"] = 99.into()),
            "self_test.images",
        ),
        (
            "missing self-test",
            |d| {
                edit(d, |j| {
                    j["self_test"]["images"] = 1.into();
                    j["self_test"]["tolerance"] = 0.001.into()
                })
            },
            "self_test.logits is missing",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_never_replaces_a_working_one() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let server = world.server().await;
    let app = server.app();
    for (what, damage, words) in breakages() {
        let folder = world.publish("t", &world.contents(2, 2));
        damage(&folder);
        let answer = reload(&app, "t").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, "pack_invalid".into()),
            "{what}: {}",
            answer.text()
        );
        assert!(answer.text().contains(words), "{what}: {}", answer.text());
        assert_eq!(label(&app, "t").await, (1, "class-1".into()), "{what}");
        let shown = get(&app, "/v1/tasks/t").await.json();
        assert_eq!(shown["version"], 1);
        assert!(shown["failure"]["reason"].as_str().unwrap().contains(words), "{what}: {shown}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
    world.publish("t", &world.contents(3, 3));
    assert_eq!(reload(&app, "t").await.status.as_u16(), 200);
    assert_eq!(label(&app, "t").await, (2, "class-3".into()));
    assert!(get(&app, "/v1/tasks/t").await.json()["failure"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_test_that_fails_keeps_the_version_out() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let app = world.server().await.app();
    let mut contents = world.contents(2, 2);
    contents.self_test =
        SelfTest { images: vec![image("rgb.png")], logits: vec![vec![0.0, 0.0, 1000.0, 5.0]] };
    world.publish("t", &contents);
    let answer = reload(&app, "t").await;
    assert!(answer.text().contains("self-test image 0: logit"), "{}", answer.text());
    contents.self_test.images = vec![b"no image".to_vec()];
    world.publish("t", &contents);
    assert!(reload(&app, "t").await.text().contains("self-test image 0"));
    assert_eq!(label(&app, "t").await, (1, "class-1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_newest_version_does_not_hide_an_older_one_after_a_restart() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let folder = world.publish("t", &world.contents(2, 2));
    std::fs::write(folder.join(WEIGHTS_FILE), b"broken").unwrap();
    world.publish("alone", &world.contents(1, 1));
    std::fs::write(world.task("alone").join("1").join(CONFIG_FILE), b"broken").unwrap();
    let app = world.server().await.app();
    assert_eq!(label(&app, "t").await, (1, "class-1".into()));
    assert_eq!(get(&app, "/v1/tasks/t").await.json()["failure"]["version"], 2);
    let refused = classify(&app, "alone", image("rgb.png")).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (500, "task_broken".into()));
    assert_eq!(reload(&app, "nobody").await.status.as_u16(), 404);
}

/// Two tasks whose newest version gives other answers than those stored with it: one has an older version.
fn with_wrong_versions() -> World {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let mut contents = world.contents(2, 2);
    contents.self_test =
        SelfTest { images: vec![image("rgb.png")], logits: vec![vec![0.0, 0.0, 1000.0, 5.0]] };
    world.publish("t", &contents);
    world.publish("alone", &contents);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_version_that_fails_its_self_test_never_answers() {
    let world = with_wrong_versions();
    let app = world.server().await.app();
    // Everybody who asks meanwhile waits for one check.
    let answers = futures::future::join_all((0..8).map(|_| label(&app, "t"))).await;
    assert!(answers.iter().all(|answer| *answer == (1, "class-1".into())), "{answers:?}");
    let shown = get(&app, "/v1/tasks/t").await.json();
    assert_eq!((&shown["failure"]["version"], &shown["failure"]["state"]), (&2.into(), &"broken".into()));
    assert!(shown["failure"]["reason"].as_str().unwrap().contains("self-test image 0"), "{shown}");
    assert_eq!(classify(&app, "alone", image("rgb.png")).await.code(), "task_broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_verify_late_a_version_answers_until_its_self_test_fails() {
    let world = with_wrong_versions();
    let mut config = world.config();
    config.reload.verify_late = true;
    let app = mimi_server::serve::Server::build(config).await.unwrap().app();
    // The request that has it read does not wait; what follows is of the version before.
    assert_eq!(label(&app, "t").await.0, 2);
    assert_eq!(label(&app, "alone").await.0, 1);
    within_two_seconds("the step back", || async { label(&app, "t").await == (1, "class-1".into()) }).await;
    within_two_seconds("the withdrawal", || async {
        classify(&app, "alone", image("rgb.png")).await.code() == "task_broken"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repaired_version_is_served_and_shown_without_its_failure() {
    let world = World::new();
    let folder = world.publish("t", &world.contents(1, 1));
    let whole = std::fs::read(folder.join(WEIGHTS_FILE)).unwrap();
    std::fs::write(folder.join(WEIGHTS_FILE), b"broken").unwrap();
    let app = world.server().await.app();
    assert_eq!(classify(&app, "t", image("rgb.png")).await.code(), "task_broken");
    assert_eq!(get(&app, "/v1/tasks/t").await.json()["failure"]["version"], 1);
    std::fs::write(folder.join(WEIGHTS_FILE), whole).unwrap();
    assert_eq!(label(&app, "t").await, (1, "class-1".into()));
    assert!(get(&app, "/v1/tasks/t").await.json()["failure"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_requests_share_one_reading_and_the_budget_holds() {
    let world = World::new();
    for i in 0..6 {
        world.publish(&format!("t{i}"), &world.contents(i, 0));
    }
    let server = world.server().await;
    let app = server.app();
    let requests = (0..16).map(|_| classify(&app, "t0", image("rgb.png")));
    let answers = futures::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(server.metrics().packs.pack_loads.get(), 1);

    let mut small = world.config();
    small.pack_memory = 2 * server.metrics().packs.packs_resident_bytes.get() as u64 + 100;
    let server = mimi_server::serve::Server::build(small).await.unwrap();
    let app = server.app();
    for round in 0..3 {
        for i in 0..6 {
            assert_eq!(classify(&app, &format!("t{i}"), image("rgb.png")).await.status, 200, "round {round}");
            get(&app, "/metrics").await;
            let metrics = server.metrics();
            assert!(metrics.packs.packs_resident_bytes.get() <= metrics.packs.packs_budget_bytes.get());
        }
    }
    assert!(server.metrics().packs.pack_evictions.get() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_under_load_loses_no_accepted_request() {
    let world = World::new();
    world.publish("t", &world.contents(1, 1));
    let running = world.start().await;
    let address = running.address;
    let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (answered, refused) = (Arc::clone(&answered), Arc::clone(&refused));
            std::thread::spawn(move || {
                loop {
                    match request(address) {
                        Sent::Answered(status) => {
                            assert!([200, 503].contains(&status), "{status}");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Sent::NotAccepted => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 30 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(clients.iter().any(|client| !client.is_finished()), "the server never answered");
    }
    running.end().await.unwrap().unwrap();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(refused.load(Ordering::Relaxed), 6);
}

enum Sent {
    Answered(u16),
    NotAccepted,
}

/// One request on its own connection. A connection that is closed before a byte came back was never accepted
/// by the server, only by the system's queue.
fn request(address: std::net::SocketAddr) -> Sent {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return Sent::NotAccepted };
    let body = image("rgb.png");
    let head = format!(
        "POST /v1/tasks/t/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
        return Sent::NotAccepted;
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        _ if answer.is_empty() => Sent::NotAccepted,
        Ok(_) => Sent::Answered(String::from_utf8_lossy(&answer)[9..12].parse().unwrap()),
        Err(e) => panic!("an answer broke off: {e}"),
    }
}
