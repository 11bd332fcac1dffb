//! The folder of packs: what goes wrong with it, and what is made of that.

/// Versions that come file by file, by link or by rename.
mod copies;
/// A whole server whose descriptors are used up.
mod descriptors;
/// A file system that fails when it is told to.
mod disk;
/// Looks that fail, folders that are others, tasks that vanish.
mod faults;
/// What a look costs, whatever the machine's speed.
mod looks;
/// Self-tests that were passed before.
mod verdicts;
/// Several who write, and disks that are full.
mod writers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use mimi_server::pack::{Contents, SelfTest};
use mimi_server::serve::{self, Server};
use serde_json::Value;

use crate::server::{World, classify, get, image, post};
use disk::Faulty;

/// Longest wait for what must come about; far more than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// As long as some tens of looks take.
const SOME_LOOKS: Duration = Duration::from_millis(600);

/// A server whose watcher runs over a folder that can be replaced, seen through a disk that can fail.
struct Watching {
    world: World,
    /// Folder of packs, inside the world's.
    packs: PathBuf,
    disk: Arc<Faulty>,
    server: Server,
    app: Router,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// A world with an empty folder of packs.
fn world() -> World {
    let world = World::new();
    std::fs::create_dir(world.task("packs")).unwrap();
    world
}

impl Watching {
    /// After `prepare` has filled the world.
    async fn over(world: World, change: impl FnOnce(&mut serve::Config)) -> Self {
        let (packs, disk) = (world.task("packs"), Arc::new(Faulty::default()));
        let mut config = serve::Config { adapters: packs.clone(), ..world.config() };
        config.reload.disk = Arc::clone(&disk) as _;
        config.reload.full_scan = Duration::from_millis(200);
        change(&mut config);
        let server = Server::build(config).await.unwrap();
        let (app, reloader) = (server.app(), Arc::clone(server.reloader()));
        let watcher = tokio::spawn(async move { reloader.watch(Duration::from_millis(20)).await });
        Self { world, packs, disk, server, app, watcher }
    }

    /// Writes the next version of a task.
    fn publish(&self, task: &str, favourite: usize) -> PathBuf {
        publish(&self.world, task, favourite)
    }

    /// Version and first label of an answer.
    async fn label(&self, task: &str) -> (u64, String) {
        let answer = classify(&self.app, task, image("rgb.png")).await;
        assert_eq!(answer.status.as_u16(), 200, "{task}: {}", answer.text());
        let json = answer.json();
        let label = json["predictions"][0]["label"].as_str().unwrap().to_owned();
        (json["version"].as_u64().unwrap(), label)
    }

    async fn status(&self, task: &str) -> u16 {
        classify(&self.app, task, image("rgb.png")).await.status.as_u16()
    }

    async fn task(&self, task: &str) -> Value {
        get(&self.app, &format!("/v1/tasks/{task}")).await.json()
    }

    async fn live(&self, task: &str) -> Option<u64> {
        self.task(task).await["version"].as_u64()
    }

    async fn folder(&self) -> Value {
        get(&self.app, "/v1/folder").await.json()
    }

    async fn confirm(&self) -> Value {
        post(&self.app, "/v1/folder/confirm", "application/json", "").await.json()
    }
}

/// Writes the next version of a task, whose head prefers one class.
fn publish(world: &World, task: &str, favourite: usize) -> PathBuf {
    let version = std::fs::read_dir(world.task("packs").join(task)).map_or(0, Iterator::count) as u64;
    world.publish(&format!("packs/{task}"), &world.contents(version + 1, favourite))
}

/// A pack that gives exactly its stored answers, whatever the machine.
fn tested(world: &World, seed: u64, favourite: usize) -> Contents {
    let mut contents = world.contents(seed, favourite);
    contents.head_weight.fill(0.0);
    contents.self_test =
        SelfTest { images: vec![image("rgb.png")], logits: vec![contents.head_bias.clone()] };
    contents
}

/// Waits until `done`.
async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets the watcher look some times.
async fn some_looks(watching: &Watching) {
    let before = watching.disk.looks();
    tokio::time::sleep(SOME_LOOKS).await;
    eventually("several looks", || async { watching.disk.looks() > before + 10 }).await;
}
