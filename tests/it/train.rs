//! Training a head: PyTorch's optimiser, what the data must be, and that the server serves what was measured.

/// Forms of labelled data, and what is wrong with them.
mod data;
/// No data is lost silently.
mod kept;
mod kill;
/// One set of limits for an image, wherever it is read.
mod limits;
/// A bound of memory, and that it changes nothing that is learned.
mod memory;
/// The page beside a pack.
mod report;
mod variants;

use std::path::Path;
use std::sync::Arc;

use mimi_server::image::Limits;
use mimi_server::pack::{self, ProblemType, WEIGHTS_FILE};
use mimi_server::train::{
    AdamW, AdamWOptions, Dataset, Gate, LinearOptions, Method, Origin, Outcome, Setup, TaskOptions, Walk,
    clip, evaluate, train,
};

use crate::server::{World, classify, post};
use crate::support::{Fixture, Random, assert_close};

#[test]
fn adamw_equals_pytorch() {
    let fixture = Fixture::named("adamw");
    let settings = fixture.json("settings");
    let rates: Vec<f64> = serde_json::from_value(fixture.json("learning_rates")).unwrap();
    for (name, decay) in settings["weight_decay"].as_object().unwrap() {
        let mut parameters = fixture.tensors[&format!("input/{name}")].data.clone();
        let mut state = AdamW::new(parameters.len(), AdamWOptions::default());
        for (step, &rate) in rates.iter().enumerate() {
            let gradient = &fixture.tensors[&format!("expect/clipped.{step}/{name}")].data;
            state.step(&mut parameters, gradient, rate, decay.as_f64().unwrap());
            let expected = &fixture.tensors[&format!("expect/step.{step}/{name}")].data;
            assert_close(&format!("{name} step {step}"), &parameters, expected, 1e-6);
        }
    }
}

#[test]
fn clipping_equals_pytorch() {
    let fixture = Fixture::named("adamw");
    let settings = fixture.json("settings");
    let names: Vec<&String> = settings["weight_decay"].as_object().unwrap().keys().collect();
    let norms = &fixture.tensors["expect/norm"].data;
    for (step, norm) in norms.iter().enumerate() {
        let gradient = |name| fixture.tensors[&format!("input/grad.{step}/{name}")].data.clone();
        let mut gradients: Vec<Vec<f32>> = names.iter().map(gradient).collect();
        let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let found = clip(&mut slices, settings["max_norm"].as_f64().unwrap());
        assert_close("norm", &[found], &[*norm], 1e-6 * norm);
        for (name, clipped) in names.iter().zip(&gradients) {
            let expected = &fixture.tensors[&format!("expect/clipped.{step}/{name}")].data;
            assert_close(&format!("{name} step {step}"), clipped, expected, 1e-6);
        }
    }
}

/// Noise around a colour.
pub fn write_images(folder: &Path, class: &str, colour: [u8; 3], (count, seed): (usize, u64)) {
    std::fs::create_dir_all(folder.join(class)).unwrap();
    let mut random = Random::new(seed);
    for i in 0..count {
        let noise = random.floats(40 * 36 * 3, 60.0);
        let pixels =
            noise.iter().enumerate().map(|(k, n)| (f32::from(colour[k % 3]) + n).clamp(0.0, 255.0) as u8);
        let picture = image::RgbImage::from_raw(40, 36, pixels.collect()).unwrap();
        picture.save(folder.join(class).join(format!("{i}.png"))).unwrap();
    }
}

pub fn dataset(folder: &Path) {
    write_images(folder, "red", [200, 60, 60], (12, 1));
    write_images(folder, "green", [60, 200, 60], (10, 2));
    write_images(folder, "blue", [60, 60, 200], (11, 3));
}

/// All images of a folder, three tenths of them held out.
pub fn origin(data: &Path) -> Origin {
    let data = data.to_owned();
    Origin {
        data,
        validation: None,
        holdout: 0.3,
        per_class: None,
        held_out_per_class: None,
        seed: 7,
        walk: Walk::default(),
        problem: ProblemType::default(),
    }
}

pub fn options(world: &World, data: &Path) -> TaskOptions {
    TaskOptions {
        task: "colours".parse().unwrap(),
        images: origin(data),
        description: "noise around colours".into(),
        adapters: world.adapters.path().to_owned(),
        cycles: None,
        checkpoint: data.with_extension("checkpoint"),
        resume: false,
        memory: None,
        abstain_accuracy: None,
        gate: Gate::default(),
        method: Method::Linear(LinearOptions { epochs: 40, batch: 8, ..LinearOptions::default() }),
    }
}

pub fn setup(world: &World) -> Setup {
    Setup::new(world.tiny.resident())
}

pub fn run(world: &World, options: &TaskOptions) -> anyhow::Result<Outcome> {
    train(&setup(world), options, &mut |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_serves_what_the_trainer_measured() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    std::fs::write(data.path().join("red/broken.png"), b"no image").unwrap();
    let options = options(&world, data.path());
    let report = run(&world, &options).unwrap();
    assert!(report.accuracies.held_out > 0.8, "{report:?}");
    assert_eq!(report.left_out.len(), 1, "a broken image is listed, not fatal");
    assert_eq!(report.images.trained + report.images.held_out, 33);
    // The watcher's way to publish runs the self-test on the engine.
    let server = world.server().await;
    let answer = post(&server.app(), "/v1/tasks/colours/reload", "application/json", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let shown =
        classify(&server.app(), "colours", std::fs::read(data.path().join("blue/0.png")).unwrap()).await;
    assert_eq!(shown.json()["predictions"][0]["label"], "blue");
    let (read, self_test) = pack::read(&report.folder, &world.tiny.config).unwrap();
    assert_eq!(self_test.images.len(), 2);
    let pack = Arc::new(read);
    let again = Dataset::open_as(data.path(), &pack.manifest.labels, &Walk::default())
        .unwrap()
        .dataset
        .split(0.3, 7)
        .unwrap();
    let engine = mimi_server::engine::Engine::start(
        world.tiny.resident(),
        Arc::clone(server.metrics()),
        &world.config().engine,
    );
    let engine = engine.unwrap();
    let measured = tokio::task::spawn_blocking({
        let pack = Arc::clone(&pack);
        move || {
            evaluate(&engine, &"eval".parse().unwrap(), &pack, &again.validation, &Limits::default()).unwrap()
        }
    });
    assert_eq!(measured.await.unwrap().accuracy(), report.accuracies.held_out);
}

#[test]
fn the_same_seed_gives_the_same_pack_and_another_does_not() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let mut options = options(&world, data.path());
    let weights = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    let (a, b) = (run(&world, &options).unwrap(), run(&world, &options).unwrap());
    assert!(a.folder.ends_with("colours/1") && b.folder.ends_with("colours/2"));
    assert_eq!(weights(&a), weights(&b));
    options.images.seed = 8;
    assert_ne!(weights(&a), weights(&run(&world, &options).unwrap()));
}

#[test]
fn options_that_cannot_train_are_refused_and_what_diverged_is_not_written() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    dataset(data.path());
    let default = LinearOptions::default();
    let cases = [
        (LinearOptions { batch: 0, ..default.clone() }, "batch"),
        (LinearOptions { epochs: 0, ..default.clone() }, "epochs"),
        (LinearOptions { rate: f64::NAN, ..default.clone() }, "learning rate is NaN"),
        (LinearOptions { decay: -1.0, ..default.clone() }, "weight decay is -1"),
        (LinearOptions { rate: 1e300, ..default }, "diverged"),
    ];
    for (linear, words) in cases {
        let options = TaskOptions { method: Method::Linear(linear), ..options(&world, data.path()) };
        let error = run(&world, &options).unwrap_err();
        assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
    }
    let written = |path: &Path| std::fs::read_dir(path).map_or(0, |entries| entries.count());
    let tasks: Vec<_> =
        std::fs::read_dir(world.adapters.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(tasks.iter().all(|task| written(task) == 0), "{tasks:?}");
}

#[test]
fn data_that_cannot_train_is_refused_with_the_reason() {
    let world = World::new();
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: [Case; 5] = [
        ("no folder", |d| std::fs::remove_dir_all(d).unwrap(), "No such file"),
        ("one class", |d| write_images(d, "red", [200, 0, 0], (4, 1)), "needs at least 2"),
        (
            "an empty class",
            |d| {
                write_images(d, "red", [200, 0, 0], (4, 1));
                std::fs::create_dir(d.join("none")).unwrap();
            },
            "class none",
        ),
        (
            "a single image",
            |d| {
                write_images(d, "red", [200, 0, 0], (4, 1));
                write_images(d, "blue", [0, 0, 200], (1, 2));
            },
            "class blue",
        ),
        (
            "nothing readable",
            |d| {
                write_images(d, "red", [200, 0, 0], (4, 1));
                std::fs::create_dir(d.join("bad")).unwrap();
                (0..4).for_each(|i| std::fs::write(d.join(format!("bad/{i}.png")), b"x").unwrap());
            },
            "class bad",
        ),
    ];
    for (what, make, words) in cases {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        make(&folder);
        let error = run(&world, &options(&world, &folder)).unwrap_err();
        assert!(format!("{error:#}").contains(words), "{what}: {error:#}");
    }
    assert_eq!(std::fs::read_dir(world.adapters.path()).unwrap().count(), 0, "no pack was written");
}
