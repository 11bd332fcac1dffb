//! What commands print, held by snapshots: `INSTA_UPDATE=always cargo test --test it -- printed::` rewrites them.

use std::path::Path;
use std::process::Command;

use mimi_server::backbone::{Place, Site};

use crate::outside_packs::outside;
use crate::server::World;
use crate::support::{self, Fixture, TinyBackbone, write_safetensors};
use crate::torch::file;
use crate::train::dataset;

/// What differs from run to run and from machine to machine, and what stands for it.
const FILTERS: &[(&str, &str)] = &[
    // A slow machine prints lines between.
    (r"(?m)^.*epoch \d+ of \d+: \d+ of \d+.*\n", ""),
    // A digest.
    ("[0-9a-f]{64}", "[sha256]"),
    // A folder of this run.
    (r"/[^\s:()]*/\.tmp[A-Za-z0-9]+", "[folder]"),
    // Speeds and the time that is left.
    (r"[0-9.]+ images/s", "[rate] images/s"),
    (r", [^,\n]+ left\b", ""),
    // Rounding.
    (r"\b\d\.\de-?\d+", "[difference]"),
    (r"loss \d+\.\d+", "loss [loss]"),
    (r"(accuracy +)[01]\.\d{4}", "$1[share]"),
];

/// The server's command line, logging errors only.
fn server(args: &[&str]) -> Command {
    let mut command = support::command(args);
    command.env("MIMI_LOG", "error");
    command
}

/// Runs a command over a world's backbone; gives what it printed to either stream.
fn printed(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(done.status.success(), "{out}{err}");
    if err.is_empty() { out } else { format!("{out}--- stderr\n{err}") }
}

fn over<'a>(world: &World, command: &'a mut Command) -> &'a mut Command {
    let folder = &world.tiny.folder;
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(folder.parent().unwrap()).arg("--backbone").arg(folder.file_name().unwrap())
}

/// Compares a text with the snapshot of that name.
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_filters(FILTERS.to_vec());
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A pack whose head calls every image red.
fn publish(world: &World) -> std::path::PathBuf {
    let mut contents = world.tiny.contents(1, &[(Site::new(1, Place::Attn), 4)], 3);
    contents.labels = ["blue", "green", "red"].map(String::from).into();
    contents.head_bias[2] = 1000.0;
    contents.provenance.method = "mimi".into();
    world.publish("one", &contents)
}

#[test]
fn inspect_prints_a_backbone_and_a_pack() {
    let world = World::new();
    check("inspect_backbone", &printed(server(&["inspect"]).arg(&world.tiny.folder)));
    let folder = publish(&world);
    let models = world.tiny.folder.parent().unwrap();
    check("inspect_pack", &printed(server(&["inspect"]).arg(folder).arg("--models").arg(models)));
}

#[test]
fn eval_prints_accuracy_and_recall_and_what_was_left_out() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    std::fs::write(data.path().join("red/notes.txt"), "not an image").unwrap();
    let folder = publish(&world);
    let mut command = server(&["eval"]);
    over(&world, &mut command).arg("--pack").arg(folder).arg("--data").arg(data.path());
    check("eval", &printed(&mut command));
}

#[test]
fn import_backbone_prints_what_it_took_and_from_where() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::named("vit_timm");
    let weights = dir.path().join("model.safetensors");
    write_safetensors(&weights, &fixture.under("weights/"));
    let mut command =
        server(&["import-backbone", "--name", "tiny", "--preprocessing", "clip", "--heads", "3"]);
    command.arg("--weights").arg(&weights).arg("--models").arg(dir.path());
    check("import_backbone", &printed(&mut command));
}

#[test]
fn import_pack_prints_what_became_of_each_adapter() {
    let (world, dir) = (World::of("mimi_vit"), tempfile::tempdir().unwrap());
    let checkpoint = dir.path().join("last.pth");
    std::fs::write(&checkpoint, file("mimi_vit_pruned.pth")).unwrap();
    let mut command = server(&["import-pack", "--task", "imported"]);
    over(&world, &mut command)
        .arg("--from")
        .arg(&checkpoint)
        .arg("--adapters")
        .arg(dir.path().join("adapters"));
    check("import_pack", &printed(&mut command));
}

#[test]
fn import_pack_prints_what_a_foreign_pack_is() {
    let (world, dir) = (World::over(TinyBackbone::outside("vit")), tempfile::tempdir().unwrap());
    let theirs = outside();
    let imported = |pack: &str, more: &[&str]| {
        let mut command = server(&["import-pack", "--task", "birds"]);
        over(&world, &mut command).arg("--from").arg(theirs.join(pack));
        command.arg("--labels").arg(theirs.join("backbones/vit/config.json")).args(more);
        printed(command.arg("--adapters").arg(dir.path()))
    };
    check("import_pack_adapter_hub", &imported("adapterhub_double_seq_bn", &[]));
    let [images, logits] =
        ["images", "logits.npy"].map(|name| theirs.join("check").join(name).display().to_string());
    check("import_pack_peft", &imported("peft_vit_head", &["--check", &images, &logits]));
}

fn train(world: &World, dir: &Path, more: &[&str]) -> String {
    let data = dir.join("data");
    std::fs::create_dir(&data).unwrap();
    dataset(&data);
    let mut command = server(&["train-task", "--task", "shoes", "--epochs", "2"]);
    over(world, &mut command).args(more).arg("--data").arg(&data);
    command.arg("--adapters").arg(dir.join("adapters")).arg("--checkpoints").arg(dir.join("checkpoints"));
    printed(&mut command)
}

#[test]
fn train_task_prints_what_it_measured_and_the_new_version() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    check("train_linear", &train(&world, dir.path(), &[]));
}

#[test]
fn train_task_prints_every_cycle() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let more = ["--method", "mimi", "--sigma-0", "12", "--sigma", "24", "--first-block", "1"];
    check("train_mimi", &train(&world, dir.path(), &more));
}
