//! `train-task --publish`: what was trained is in the source, and answers there.

use std::path::Path;

use mimi_server::files::System;
use mimi_server::metrics::Metrics;
use mimi_server::pack;
use mimi_server::shelf::{Digest, Folder, Objects, PackSource, Settings};

use super::s3::{SECRET, serve, settings};
use super::task;
use crate::server::World;
use crate::support;
use crate::train::write_images;

/// Trains two classes for one epoch and publishes to `source`. Returns what it says.
async fn train(world: &World, folder: &Path, (source, endpoint): (&str, &str)) -> String {
    let backbone = &world.tiny.folder;
    let mut command = support::command(&["train-task", "--task", "colours", "--data", "colours"]);
    command.current_dir(folder).args([
        "--epochs",
        "1",
        "--threads",
        "2",
        "--batch",
        "4",
        "--adapters",
        "own",
    ]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(backbone.parent().unwrap());
    command.arg("--backbone").arg(backbone.file_name().unwrap());
    command.args(["--publish", source]).envs(settings(endpoint, SECRET));
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    assert!(done.status.success(), "{told}");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trained_is_published_to_a_folder_and_a_store() {
    let (world, folder, root) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    write_images(&data, "red", [200, 60, 60], (4, 1));
    write_images(&data, "green", [60, 200, 60], (4, 2));
    let endpoint = serve(root.path()).await;
    let metrics = std::sync::Arc::new(Metrics::new().unwrap());
    let all = Settings::new(settings(&endpoint, SECRET));
    let sources: [(&str, Box<dyn PackSource>); 2] = [
        ("shop", Box::new(Folder::new(folder.path().join("shop")))),
        ("s3://bucket/packs", Box::new(Objects::open("s3://bucket/packs", &all, None, metrics).unwrap())),
    ];
    for (at, (address, source)) in sources.iter().enumerate() {
        let told = train(&world, folder.path(), (address, &endpoint)).await;
        let own = folder.path().join("own/colours").join((at + 1).to_string());
        let digest = Digest::of(&pack::archive(&System, &own).unwrap());
        assert!(told.contains(digest.as_str()) && !told.contains(SECRET), "{told}");
        let pointer = source.pointer(&task("colours")).await.unwrap().unwrap();
        assert_eq!(pointer.stable(), Some(1));
        assert_eq!(pointer.versions[&1].digest, digest);
    }
}
