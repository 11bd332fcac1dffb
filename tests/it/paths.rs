//! No error tells a client where the server keeps its files.

use std::path::Path;

use axum::Router;
use mimi_server::pack::{CONFIG_FILE, SelfTest, WEIGHTS_FILE};
use serde_json::Value;

use crate::server::{World, classify, get, image, post};

/// A way to break a version's folder.
type Breakage = (&'static str, fn(&Path));

fn edit(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join(CONFIG_FILE);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
}

fn cut(dir: &Path, name: &str) {
    let bytes = std::fs::read(dir.join(name)).unwrap();
    std::fs::write(dir.join(name), &bytes[..bytes.len() / 2]).unwrap();
}

const BREAKAGES: [Breakage; 10] = [
    ("no-manifest", |dir| std::fs::remove_file(dir.join(CONFIG_FILE)).unwrap()),
    ("no-weights", |dir| std::fs::remove_file(dir.join(WEIGHTS_FILE)).unwrap()),
    ("half-manifest", |dir| cut(dir, CONFIG_FILE)),
    ("half-weights", |dir| cut(dir, WEIGHTS_FILE)),
    ("empty-manifest", |dir| std::fs::write(dir.join(CONFIG_FILE), "").unwrap()),
    ("folder-as-weights", |dir| {
        std::fs::remove_file(dir.join(WEIGHTS_FILE)).unwrap();
        std::fs::create_dir(dir.join(WEIGHTS_FILE)).unwrap();
    }),
    ("link-in-circles", |dir| {
        std::fs::remove_file(dir.join(WEIGHTS_FILE)).unwrap();
        std::os::unix::fs::symlink(dir.join(WEIGHTS_FILE), dir.join(WEIGHTS_FILE)).unwrap();
    }),
    ("large-manifest", |dir| std::fs::File::create(dir.join(CONFIG_FILE)).unwrap().set_len(9 << 20).unwrap()),
    ("wrong-digest", |dir| edit(dir, |json| json["weights_sha256"] = "0".repeat(64).into())),
    ("wrong-backbone", |dir| edit(dir, |json| json["base_model_sha256"] = "0".repeat(64).into())),
];

/// Every text that the service has about a task.
async fn texts(app: &Router, task: &str) -> Vec<String> {
    let many = serde_json::json!({"tasks": [task], "image": "AAAA"}).to_string();
    vec![
        classify(app, task, image("rgb.png")).await.text(),
        classify(app, task, image("rgb.png")).await.text(),
        post(app, &format!("/v1/tasks/{task}/reload"), "", "").await.text(),
        post(app, "/v1/classify", "application/json", many).await.text(),
        get(app, &format!("/v1/tasks/{task}")).await.text(),
        get(app, "/v1/tasks").await.text(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_no_error_names_a_folder_of_the_server() {
    let world = World::new();
    for (task, change) in BREAKAGES {
        world.publish(task, &world.contents(1, 1));
        change(&world.task(task).join("1"));
        // One with an older version that works, and one that gets a newer one while the server runs.
        let older = format!("{task}-2");
        world.publish(&older, &world.contents(1, 1));
        change(&world.publish(&older, &world.contents(1, 1)));
    }
    let mut contents = world.contents(2, 2);
    contents.self_test = SelfTest { images: vec![b"no".to_vec()], logits: vec![vec![0.0; 4]] };
    world.publish("self-test", &contents);
    let server = world.server().await;
    let app = server.app();
    let mut all = Vec::new();
    for (task, _) in BREAKAGES {
        all.extend(texts(&app, task).await);
        all.extend(texts(&app, &format!("{task}-2")).await);
    }
    all.extend(texts(&app, "self-test").await);
    let said = all.join("\n");
    // The texts are about the breakages, or nothing was tested.
    for word in
        [CONFIG_FILE, WEIGHTS_FILE, "No such file", "sha256", "task_broken", "pack_invalid", "not_ready"]
    {
        assert!(said.contains(word), "nothing says {word}: {said}");
    }
    let folders = [world.adapters.path(), world.tiny.folder.as_path()];
    for component in folders.iter().flat_map(|folder| folder.components()) {
        let name = component.as_os_str().to_string_lossy().into_owned();
        // The backbone's own name is not a secret.
        if name.len() > 2 && Some(name.as_str()) != world.tiny.folder.file_name().and_then(|n| n.to_str()) {
            assert!(!said.contains(&format!("{name}/")), "{name}: {said}");
        }
    }
    for root in ["/tmp", "/home", "/root", "/usr", "/var", "/srv"] {
        assert!(!said.contains(root), "{root}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_task_that_fails_for_good_does_not_say_try_again() {
    let world = World::new();
    let content = world.publish("content", &world.contents(1, 1));
    std::fs::write(content.join(WEIGHTS_FILE), b"broken").unwrap();
    let gone = world.publish("gone", &world.contents(1, 1));
    std::fs::remove_file(gone.join(WEIGHTS_FILE)).unwrap();
    // Reading in circles is refused by the system, not by the content; being root, tests cannot be refused otherwise.
    let reading = world.publish("reading", &world.contents(1, 1)).join(WEIGHTS_FILE);
    std::fs::remove_file(&reading).unwrap();
    std::os::unix::fs::symlink(&reading, &reading).unwrap();
    let app = world.server().await.app();
    for (task, status, code) in
        [("content", 500, "task_broken"), ("gone", 503, "not_ready"), ("reading", 503, "not_ready")]
    {
        for _ in 0..2 {
            let answer = classify(&app, task, image("rgb.png")).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{}", answer.text());
            assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{task}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_manifest_may_begin_with_a_byte_order_mark() {
    let world = World::new();
    let path = world.publish("one", &world.contents(1, 1)).join(CONFIG_FILE);
    let marked = [b"\xef\xbb\xbf".to_vec(), std::fs::read(&path).unwrap()].concat();
    std::fs::write(&path, marked).unwrap();
    let app = world.server().await.app();
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status.as_u16(), 200);
}
