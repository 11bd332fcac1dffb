//! What a training may publish, and many trainings in one process.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mimi_server::pack::{self, WEIGHTS_FILE};
use mimi_server::train::{
    Features, Gate, LinearOptions, Method, MimiOptions, Outcome, Target, TaskOptions, train,
};

use crate::server::World;
use crate::support;
use crate::train::{dataset, options, origin, run, setup};

fn weights(report: &Outcome) -> Vec<u8> {
    std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap()
}

/// A training that learns nothing: its rate is 0, so that every class is as likely.
fn idle() -> Method {
    Method::Linear(LinearOptions { rate: 0.0, epochs: 1, ..LinearOptions::default() })
}

#[test]
fn a_gate_holds_back_what_is_not_good_enough() {
    let (world, data, aside) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let gate = Gate { accuracy: Some(0.8), not_below_live: false, held_back: aside.path().to_owned() };
    let good = TaskOptions { gate: gate.clone(), ..options(&world, data.path()) };
    let bad = TaskOptions { method: idle(), ..good.clone() };
    let refused = run(&world, &bad).unwrap();
    assert!(refused.folder.starts_with(aside.path()), "{refused:?}");
    assert!(refused.refused.unwrap().contains("is below 0.8"));
    assert!(!world.task("colours").exists(), "nothing was published");
    let published = run(&world, &good).unwrap();
    assert_eq!((published.folder, published.refused), (world.task("colours").join("1"), None));
}

#[test]
fn a_version_worse_than_the_live_one_on_the_same_images_is_held_back() {
    let (world, data, aside) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let gate = Gate { accuracy: None, not_below_live: true, held_back: aside.path().to_owned() };
    let good = TaskOptions { gate, ..options(&world, data.path()) };
    // Nothing is live yet, so anything may be published.
    let first = run(&world, &TaskOptions { method: idle(), ..good.clone() }).unwrap();
    assert_eq!(first.refused, None);
    let better = run(&world, &good).unwrap();
    assert!(better.refused.is_none() && better.accuracies.held_out > first.accuracies.held_out);
    let worse = run(&world, &TaskOptions { method: idle(), ..good.clone() }).unwrap();
    assert!(worse.refused.clone().unwrap().contains("version 2's"), "{worse:?}");
    assert_eq!(pack::versions(&world.task("colours")).unwrap().len(), 2);
    // As good as the live one is good enough; a version that cannot be read does not count.
    std::fs::create_dir(world.task("colours").join("9")).unwrap();
    assert_eq!(run(&world, &good).unwrap().refused, None);
    // Other classes cannot be compared.
    std::fs::rename(data.path().join("red"), data.path().join("rosso")).unwrap();
    assert!(run(&world, &good).unwrap().refused.unwrap().contains("other classes"));
}

#[test]
fn features_kept_from_other_trainings_change_nothing() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let mimi =
        MimiOptions { first_block: 1, epochs: 2, target: Target::Sigma(16.0), ..MimiOptions::default() };
    for method in [options(&world, data.path()).method, Method::Mimi(mimi)] {
        let options = TaskOptions { method, ..options(&world, data.path()) };
        let alone = run(&world, &options).unwrap();
        let mut shared = setup(&world);
        shared.features = Some(Arc::new(Features::new(1 << 30)));
        let first = train(&shared, &options, &mut |_| {}).unwrap();
        // Other files of the same bytes are the same images.
        let copy = tempfile::tempdir().unwrap();
        dataset(copy.path());
        let again =
            train(&shared, &TaskOptions { images: origin(copy.path()), ..options }, &mut |_| {}).unwrap();
        assert_eq!(weights(&alone), weights(&first));
        assert_eq!(weights(&alone), weights(&again));
    }
}

/// What `train-task` says in `folder`.
pub fn server(world: &World, folder: &Path, more: &[&str]) -> std::process::Output {
    command(
        world,
        folder,
        "train-task",
        &[&["--adapters", &world.adapters.path().display().to_string()], more].concat(),
    )
}

/// What a command over the tiny backbone says in `folder`.
pub fn command(world: &World, folder: &Path, name: &str, more: &[&str]) -> std::process::Output {
    prepared(world, folder, name).args(more).output().unwrap()
}

/// As [`command`], not started yet.
pub fn prepared(world: &World, folder: &Path, name: &str) -> Command {
    let backbone = &world.tiny.folder;
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.current_dir(folder).arg(name);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command
        .arg("--models")
        .arg(backbone.parent().unwrap())
        .arg("--backbone")
        .arg(backbone.file_name().unwrap());
    command.arg("--threads").arg("2");
    command
}

#[test]
fn a_file_of_tasks_trains_them_all_and_one_that_fails_stops_no_other() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&data.path().join("colours"));
    let lines = "# task and data, and what differs\n\
        --task first --data colours --seed 3\n\
        \n\
        --task broken --data nowhere\n\
        --task 'second' --data colours --epochs 2 --holdout 0.4\n";
    std::fs::write(data.path().join("tasks.txt"), lines).unwrap();
    let options = ["--tasks-file", "tasks.txt", "--epochs", "4"];
    let done = server(&world, data.path(), &options);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{errors}");
    assert!(errors.contains("line 4: nowhere") && errors.contains("1 of 3 tasks"), "{errors}");
    let details = |task: &str| {
        let folder = world.task(task).join("1");
        pack::read(&folder, &world.tiny.config).unwrap().0.manifest.provenance
    };
    let (first, second) = (details("first"), details("second"));
    assert_eq!((first.details["epochs"].as_u64(), first.seed), (Some(4), 3));
    assert_eq!(second.details["epochs"].as_u64(), Some(2), "the line wins over the command line");
    assert!(second.validation_images > first.validation_images);
    // A machine's share of the lines, and none of what is there already.
    let share = server(&world, data.path(), &[&options[..], &["--shard", "0/2", "--skip-existing"]].concat());
    assert!(share.status.success(), "{}", String::from_utf8_lossy(&share.stderr));
    assert_eq!(pack::versions(&world.task("first")).unwrap().len(), 1);
    for (text, words) in [
        ("--task x", "tasks.txt:1"),
        ("--task 'x", "quotation"),
        ("--bogus", "--bogus"),
        ("", "lists no task"),
    ] {
        std::fs::write(data.path().join("tasks.txt"), text).unwrap();
        let done = server(&world, data.path(), &options);
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && errors.contains(words), "{text:?}: {errors}");
    }
}

#[test]
fn a_skipped_task_is_published_where_the_source_lacks_it() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    run(&world, &options(&world, data.path())).unwrap();
    let out = tempfile::tempdir().unwrap();
    let there = || pack::versions(&out.path().join("colours")).unwrap();
    let skip = |more: &[&str]| {
        let plain = ["--task", "colours", "--data", "/nowhere", "--skip-existing"];
        let done = server(&world, data.path(), &[&plain, more].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let source = out.path().to_str().unwrap();
    skip(&[]);
    assert!(!out.path().join("colours").exists(), "nobody asked for it");
    let told = skip(&["--publish", source]);
    assert!(told.contains("colours version 1") && there() == [1], "{told}");
    // A source that has the task keeps what it has, though there is a version of other bytes here.
    run(&world, &TaskOptions { method: idle(), ..options(&world, data.path()) }).unwrap();
    let told = skip(&["--publish", source]);
    assert!(told.contains("has colours already") && there() == [1], "{told}");
}
