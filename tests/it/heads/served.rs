use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use mimi_server::pack::{self, Base, ProblemType};
use mimi_server::train::{
    AugmentOptions, Gate, Init, Judged, Method, MimiOptions, Origin, Outcome, Target, TaskOptions,
};
use serde_json::Value;

use crate::server::{World, classify, post};
use crate::support::{Random, assert_close, command, runtime_options};
use crate::train::{dataset, options, run};

/// Images whose upper and lower halves are bright or dark, with the labels `up` and `down` for the bright ones; their
/// mean brightness is the value.
fn halves(dir: &Path, problem: ProblemType) -> PathBuf {
    let (mut random, mut csv) = (Random::new(5), String::from("path,label\n"));
    for number in 0..60 {
        let [up, down] = [number % 2, number / 2 % 2].map(|bright| 60.0 + 130.0 * bright as f32);
        let noise = random.floats(36 * 36 * 3, 25.0);
        let pixel = |(at, n): (usize, &f32)| (if at < 36 * 18 * 3 { up } else { down } + n) as u8;
        let pixels: Vec<u8> = noise.iter().enumerate().map(pixel).collect();
        let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64;
        RgbImage::from_raw(36, 36, pixels).unwrap().save(dir.join(format!("{number}.png"))).unwrap();
        let labels =
            [(up, "up"), (down, "down")].into_iter().filter(|half| half.0 > 100.0).map(|half| half.1);
        let label = match problem {
            ProblemType::Regression => format!("{mean:.3}"),
            _ => labels.collect::<Vec<_>>().join(";"),
        };
        writeln!(csv, "{number}.png,{label}").unwrap();
    }
    let list = dir.join("list.csv");
    std::fs::write(&list, csv).unwrap();
    list
}

fn trained(world: &World, list: &Path, problem: ProblemType, method: Option<MimiOptions>) -> Outcome {
    let base = options(world, list);
    let images = Origin { problem, ..base.images.clone() };
    let method = method.map_or(base.method.clone(), Method::Mimi);
    run(world, &TaskOptions { images, method, ..base }).unwrap()
}

fn adapters() -> MimiOptions {
    let (init, target) = (Init::Identity, Target::Never);
    MimiOptions { sigma: 8.0, epochs: 12, batch: 8, rate: 5e-3, init, target, ..MimiOptions::default() }
}

async fn reloaded(world: &World) -> axum::Router {
    let app = world.server().await.app();
    let answer = post(&app, "/v1/tasks/colours/reload", "application/json", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    app
}

async fn asked(app: &axum::Router, dir: &Path, number: usize) -> Value {
    let image = std::fs::read(dir.join(format!("{number}.png"))).unwrap();
    classify(app, "colours", image).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_labels_is_trained_measured_and_served() {
    let problem = ProblemType::MultiLabelClassification;
    let augment = AugmentOptions { mixup: 0.4, ..AugmentOptions::none() };
    for method in [None, Some(adapters()), Some(MimiOptions { augment, ..adapters() })] {
        let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
        let list = halves(dir.path(), problem);
        let outcome = trained(&world, &list, problem, method);
        assert!(outcome.accuracies.held_out > 0.95, "{outcome:?}");
        assert!(outcome.accuracies.train > 0.8, "{outcome:?}");
        let (pack, _) = pack::read(&outcome.folder, &world.tiny.config).unwrap();
        let manifest = &pack.manifest;
        assert_eq!(
            (manifest.format_version, &manifest.labels[..]),
            (2, &["down", "up"].map(String::from)[..])
        );
        assert_eq!(manifest.thresholds.as_ref().unwrap().len(), 2);
        assert_eq!(manifest.provenance.details["held_out"][1]["label"], "up");
        let app = reloaded(&world).await;
        for (number, labels) in [(0, vec![]), (1, vec!["up"]), (2, vec!["down"]), (3, vec!["down", "up"])] {
            let said = asked(&app, dir.path(), number).await;
            assert_eq!(said["labels"], Value::from(labels), "{number}: {said}");
            assert!(said["abstained"].is_null() && said["predictions"][0]["value"].is_null());
            let scores = said["predictions"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap());
            assert!(
                scores.clone().count() == 2 && scores.into_iter().all(|score| (0.0..=1.0).contains(&score))
            );
        }
        let page = std::fs::read_to_string(outcome.folder.join("report.html")).unwrap();
        assert!(page.contains("Label by label") && page.contains("held-out mean average precision"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_trained_measured_and_served_in_their_own_unit() {
    let problem = ProblemType::Regression;
    for method in [None, Some(adapters())] {
        let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
        let list = halves(dir.path(), problem);
        let outcome = trained(&world, &list, problem, method);
        assert!(outcome.accuracies.held_out > 0.9, "{outcome:?}");
        let [Judged::Value { mean_absolute_error, r2, .. }] = outcome.answers.judged[..] else {
            panic!("{outcome:?}")
        };
        assert!((r2 - outcome.accuracies.held_out).abs() < 1e-6 && mean_absolute_error < 15.0, "{outcome:?}");
        let app = reloaded(&world).await;
        let text = std::fs::read_to_string(&list).unwrap();
        for number in [0, 1, 3] {
            let said = asked(&app, dir.path(), number).await;
            let prediction = &said["predictions"][0];
            assert_eq!(
                (&prediction["label"], &prediction["score"]),
                (&"label".into(), &Value::Null),
                "{said}"
            );
            let truth = text.lines().nth(number + 1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
            assert_close("value", &[prediction["value"].as_f64().unwrap() as f32], &[truth], 30.0);
        }
        let page = std::fs::read_to_string(outcome.folder.join("report.html")).unwrap();
        assert!(page.contains("Value by value") && page.contains("held-out R²"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_too_unsure_say_so() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let sure = TaskOptions { abstain_accuracy: Some(1.0), ..options(&world, data.path()) };
    let outcome = run(&world, &sure).unwrap();
    let found = outcome.answers.abstention.unwrap();
    assert!(found.accuracy == 1.0 && found.kept > 0.3, "{found:?}");
    let (pack, _) = pack::read(&outcome.folder, &world.tiny.config).unwrap();
    assert_eq!((pack.manifest.format_version, pack.manifest.abstain_below), (2, Some(found.below)));
    assert_eq!(pack.manifest.provenance.details["held_out_abstention"]["accuracy"], 1.0);
    let page = std::fs::read_to_string(outcome.folder.join("report.html")).unwrap();
    assert!(page.contains("keep their answer"));
    // A pack that is never sure enough abstains from everything, and still says what it thinks.
    let mut contents = world.contents(1, 2);
    contents.head_bias.fill(0.0);
    contents.decision.abstain_below = Some(1.0);
    world.publish("unsure", &contents);
    contents.decision.abstain_below = Some(0.0);
    world.publish("bold", &contents);
    contents.decision.abstain_below = None;
    world.publish("plain", &contents);
    let app = world.server().await.app();
    let image = std::fs::read(data.path().join("red/0.png")).unwrap();
    for (task, abstained) in [("unsure", Value::from(true)), ("bold", false.into()), ("plain", Value::Null)] {
        let said = classify(&app, task, image.clone()).await.json();
        assert_eq!(
            (&said["abstained"], said["predictions"].as_array().unwrap().len()),
            (&abstained, 4),
            "{said}"
        );
    }
    let body = serde_json::json!({ "tasks": ["unsure", "plain"], "image": crate::classify::base64(&image) });
    let many = post(&app, "/v1/classify", "application/json", body.to_string()).await.json();
    assert_eq!(many["results"][0]["abstained"], true);
    assert!(many["results"][1].get("abstained").is_none());
}

#[test]
fn a_pack_for_which_no_threshold_is_sure_enough_is_held_back() {
    let (world, data, aside) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let gate = Gate { held_back: aside.path().to_owned(), ..Gate::default() };
    let idle = mimi_server::train::LinearOptions { rate: 0.0, epochs: 1, ..Default::default() };
    let base = TaskOptions { gate, abstain_accuracy: Some(0.99), ..options(&world, data.path()) };
    let outcome = run(&world, &TaskOptions { method: Method::Linear(idle), ..base.clone() }).unwrap();
    assert!(outcome.folder.starts_with(aside.path()), "{outcome:?}");
    assert!(outcome.refused.unwrap().contains("no threshold keeps answers of which 0.99"));
    let problem = ProblemType::Regression;
    let error =
        run(&world, &TaskOptions { images: Origin { problem, ..base.images.clone() }, ..base }).unwrap_err();
    assert!(error.to_string().contains("only single_label_classification abstains"), "{error}");
}

#[test]
fn a_gate_compares_scores_of_the_same_problem_only() {
    let (world, dir, aside) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let problem = ProblemType::Regression;
    let list = halves(dir.path(), problem);
    let gate = Gate { accuracy: Some(0.5), not_below_live: true, held_back: aside.path().to_owned() };
    let base = options(&world, &list);
    let good = TaskOptions { images: Origin { problem, ..base.images.clone() }, gate, ..base };
    assert_eq!(run(&world, &good).unwrap().refused, None);
    // The same training again is as good in the values' own unit.
    assert_eq!(run(&world, &good).unwrap().refused, None);
    let idle = mimi_server::train::LinearOptions { rate: 0.0, epochs: 1, ..Default::default() };
    let worse = TaskOptions { method: Method::Linear(idle), ..good.clone() };
    assert!(run(&world, &worse).unwrap().refused.unwrap().contains("held-out R² -"));
    let ungated = Gate { accuracy: None, ..worse.gate.clone() };
    let refused = run(&world, &TaskOptions { gate: ungated, ..worse }).unwrap().refused.unwrap();
    assert!(refused.starts_with("its R² ") && refused.contains("version 2's"), "{refused}");
}

/// The same list with a part for each image.
fn divided(list: &Path) {
    let text = std::fs::read_to_string(list).unwrap();
    let lines = text.lines().enumerate().map(|(line, text)| match (line, line / 4 % 5) {
        (0, _) => format!("{text},split\n"),
        (_, 0) => format!("{text},test\n"),
        (_, 1) => format!("{text},val\n"),
        _ => format!("{text},train\n"),
    });
    std::fs::write(list, lines.collect::<String>()).unwrap();
}

fn printed(world: &World, args: &[&str], dir: &Path) -> String {
    let folder = &world.tiny.folder;
    let mut command = command(args);
    command.current_dir(dir).arg("--onnxruntime").arg(runtime_options().library);
    command.arg("--models").arg(folder.parent().unwrap()).arg("--backbone").arg(folder.file_name().unwrap());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The numbers behind a label, of the table of a part.
fn line<'a>(text: &'a str, part: &str, label: &str) -> Vec<&'a str> {
    let table = text.split(&format!("{part} images:\n")).nth(1).unwrap();
    table.lines().find(|line| line.starts_with(label)).unwrap().split_whitespace().collect()
}

#[test]
fn commands_show_each_label_and_value_and_eval_finds_what_the_final_test_found() {
    for (problem, word, score, label) in [
        (ProblemType::MultiLabelClassification, "multi-label", "mean average precision", "up"),
        (ProblemType::Regression, "regression", "R²", "label"),
    ] {
        let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
        let list = halves(dir.path(), problem);
        divided(&list);
        let train = ["train-task", "--task", "t", "--data", "list.csv", "--problem", word, "--epochs", "40"];
        let trained = printed(&world, &train, dir.path());
        assert!(trained.contains(&format!("validation {score} ")), "{trained}");
        let eval = ["eval", "--pack", "adapters/t/1", "--data", "list.csv"];
        let measured = printed(&world, &eval, dir.path());
        assert!(
            measured.contains(&format!("\n{score} ")) && measured.contains(" test images)"),
            "{measured}"
        );
        assert_eq!(line(&trained, "test", label), line(&measured, "test", label), "{trained}{measured}");
        let folder = dir.path().join("adapters/t/1");
        let base = Base::new(Arc::clone(&world.tiny.config)).unwrap();
        let (pack, _) = pack::read_stored(&folder, &base).unwrap();
        let shown = mimi_server::inspect::pack(&pack, &world.tiny.config).unwrap();
        assert!(shown.contains(problem.as_str()) && shown.contains(score), "{shown}");
        let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(page.contains("Test images, which chose nothing"));
        assert!(pack.manifest.provenance.details["test"][0].is_object());
    }
}
