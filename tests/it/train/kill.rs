//! A training that is killed, as by the kernel when memory runs out.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mimi_server::pack::WEIGHTS_FILE;

use super::dataset;
use crate::server::World;
use crate::support;

fn train_task(world: &World, folder: &Path, more: &[&str]) -> Child {
    let backbone = &world.tiny.folder;
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.current_dir(folder).args(["train-task", "--task", "colours", "--data", "colours"]);
    command.args(["--method", "mimi", "--epochs", "3", "--threads", "2", "--batch", "4"]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(backbone.parent().unwrap());
    command.arg("--backbone").arg(backbone.file_name().unwrap());
    command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_training_goes_on_and_ends_as_one_left_alone() {
    killed_training_goes_on(&[]);
}

#[test]
fn a_killed_training_keeps_its_masks() {
    killed_training_goes_on(&["--score", "snip", "--selection", "unstructured"]);
}

fn killed_training_goes_on(options: &[&str]) {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&folder.path().join("colours"));
    assert!(
        train_task(&world, folder.path(), &[options, &["--adapters", "alone"]].concat())
            .wait()
            .unwrap()
            .success()
    );
    let checkpoint = folder.path().join("checkpoints/colours.safetensors");
    let again = [options, &["--adapters", "killed", "--resume"]].concat();
    // Killed as soon as an epoch is on disk, then a moment into what follows, wherever that is.
    for delay in [0, 30] {
        let mut child = train_task(&world, folder.path(), &again);
        let begun = Instant::now();
        while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint within a minute");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(checkpoint.exists() || folder.path().join("killed").exists(), "nothing is left");
    }
    assert!(train_task(&world, folder.path(), &again).wait().unwrap().success());
    let weights =
        |of: &str| std::fs::read(folder.path().join(of).join("colours/1").join(WEIGHTS_FILE)).unwrap();
    assert!(weights("alone") == weights("killed"), "the weights differ");
    assert!(!checkpoint.exists());
}
