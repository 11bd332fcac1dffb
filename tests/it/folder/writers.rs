//! Several who write, and disks that are full.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mimi_server::pack;

use super::{Watching, tested, world};
use crate::server::World;
use crate::support;
use crate::train::dataset;

#[test]
fn f18_writers_that_end_together_take_a_number_each() {
    let world = World::new();
    let folders: Vec<_> = std::thread::scope(|scope| {
        let writer = |seed: u64| {
            let (world, contents) = (&world, world.contents(seed, 1));
            scope.spawn(move || (0..8).map(|_| world.publish("t", &contents)).collect::<Vec<_>>())
        };
        let writers: Vec<_> = (0..4).map(writer).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(folders.iter().collect::<BTreeSet<_>>().len(), 32, "nobody's version was replaced");
    assert_eq!(pack::versions(&world.task("t")).unwrap(), (1..=32).collect::<Vec<_>>());
    for folder in &folders {
        pack::read(folder, &world.tiny.config).unwrap();
    }
    assert_eq!(fs::read_dir(world.task("t")).unwrap().count(), 32, "nothing half-written stays");
}

#[test]
fn f18_a_number_taken_by_an_empty_folder_is_not_replaced() {
    let world = World::new();
    let taken = world.task("t").join("1");
    fs::create_dir_all(&taken).unwrap();
    let error = mimi_server::files::rename_to_free(&world.publish("other", &world.contents(1, 1)), &taken);
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert!(world.publish("t", &world.contents(1, 1)).ends_with("t/2"));
}

#[test]
fn f18_two_trainings_in_two_processes_both_leave_a_version() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let backbone = &world.tiny.folder;
    let train = |seed: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command.arg("train-task").args(["--task", "t", "--epochs", "1", "--seed", seed, "--threads", "1"]);
        command.arg("--onnxruntime").arg(support::runtime_options().library);
        command.arg("--models").arg(backbone.parent().unwrap());
        command.arg("--backbone").arg(backbone.file_name().unwrap());
        command.arg("--data").arg(data.path()).arg("--adapters").arg(world.adapters.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let trainings = ["1", "2", "3"].map(train);
    for training in trainings {
        let done = training.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!(pack::versions(&world.task("t")).unwrap(), [1, 2, 3]);
}

/// A file system of its own, where this process may mount one.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).stderr(Stdio::null());
        let is_mounted = mount.status().is_ok_and(|status| status.success());
        if !is_mounted {
            eprintln!("*** SKIPPED: no file system may be mounted here");
        }
        is_mounted.then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_gives_an_error_and_no_version() {
    let world = World::new();
    let Some(_small) = Small::mount(world.adapters.path(), "24k") else { return };
    let mut contents = world.contents(1, 1);
    contents.provenance.dataset = "x".repeat(30_000);
    let error = pack::write(&world.task("t"), &contents, &world.tiny.config).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(fs::read_dir(world.task("t")).unwrap().count(), 0, "nothing half-written stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_on_where_its_disks_are_full() {
    let world = world();
    world.publish("packs/t", &tested(&world, 1, 1));
    let state = tempfile::tempdir().unwrap();
    let Some(_small) = Small::mount(state.path(), "8k") else { return };
    let fill = fs::write(state.path().join("filler"), vec![0; 1 << 20]);
    assert!(fill.is_err(), "the disk is full");
    let watching = Watching::over(world, |config| config.reload.state = Some(state.path().to_owned())).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_mount_that_goes_and_comes_loses_nothing() {
    let (world, outside) = (world(), World::new());
    let packs = world.task("packs");
    let Some(small) = Small::mount(&packs, "4m") else { return };
    world.publish("packs/t", &world.contents(1, 1));
    world.publish("packs/cold", &world.contents(2, 2));
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    let watching = Watching::over(world, |_| ()).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    copy(&packs, &outside.task("kept"));
    drop(small);
    super::eventually("the other folder", || async { watching.folder().await["held"] == 2 }).await;
    super::some_looks(&watching).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    assert_eq!(watching.status("cold").await, 503);
    // Another device with the same marker is the same folder.
    let Some(_small) = Small::mount(&packs, "4m") else { return };
    copy(&outside.task("kept/."), &packs);
    super::eventually("the return", || async { watching.folder().await["held"] == 0 }).await;
    assert_eq!(watching.label("cold").await, (1, "class-2".into()));
    assert!(watching.folder().await["other"].is_null());
}
