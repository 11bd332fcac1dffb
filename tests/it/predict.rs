//! Folders scored by an engine of this process and by a running server: the same lines, whatever interrupts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use mimi_server::predict::{
    Asker, Body, Failure, Listed, Local, Question, Remote, RemoteOptions, Reply, Settings,
};
use mimi_server::predict::{Summary, images, run};
use serde_json::Value;

use crate::server::{World, image, post};

fn world() -> World {
    let world = World::new();
    world.publish("one", &world.contents(1, 0));
    world.publish("two", &world.contents(2, 1));
    world
}

/// A folder with images in two folders, one broken image, and a text.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
    std::fs::write(dir.path().join("z.png"), image("rgb.png")).unwrap();
    std::fs::write(dir.path().join("b/ä, \"1\".png"), image("rgb.png")).unwrap();
    std::fs::write(dir.path().join("b/c/grey.png"), image("grey.png")).unwrap();
    std::fs::write(dir.path().join("b/broken.png"), &image("rgb.png")[..60]).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not an image").unwrap();
    dir
}

fn settings(tasks: &[&str]) -> Settings {
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    let question = Question { tasks, top_k: 2, logits: true };
    Settings { question, by: "test".into(), at_once: 3, largest: 1 << 20, patience: Duration::from_secs(5) }
}

fn listed(dir: &Path) -> Vec<Listed> {
    let mut left_out = Vec::new();
    let found = images(dir, &mut left_out).unwrap();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    found
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_an_image_in_order_with_the_logits_of_the_door() {
    let (world, dir, out) = (world(), data(), tempfile::tempdir().unwrap());
    let server = world.server().await;
    let (out, found) = (out.path().join("out.jsonl"), listed(dir.path()));
    let asker = Arc::new(Local::new(server.app()));
    let mut shown = 0;
    let summary = run(asker, &found, &out, &settings(&["one", "two"]), |_| shown += 1).await.unwrap();
    assert_eq!((summary, shown), (Summary { images: 4, failed: 1, resumed: 0, predicted: 6, refused: 0 }, 4));
    let lines = lines(&out);
    let names: Vec<_> = lines.iter().map(|line| line["image"].as_str().unwrap()).collect();
    assert_eq!(names, ["b/broken.png", "b/c/grey.png", "b/ä, \"1\".png", "z.png"]);
    assert_eq!((&lines[0]["code"], lines[0]["results"].is_null()), (&"invalid_image".into(), true));
    let answer =
        post(&server.app(), "/v1/tasks/two/classify?top_k=2&logits=true", "image/png", image("rgb.png"))
            .await;
    assert_eq!(lines[3]["results"][1], answer.json());
    assert_eq!(lines[3]["results"][1]["logits"].as_array().unwrap().len(), 4);
    assert_eq!(lines[2]["results"], lines[3]["results"]);
    let left: Vec<_> = std::fs::read_dir(out.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let again = run(Arc::new(Local::new(server.app())), &found, &out, &settings(&["one"]), |_| ()).await;
    assert!(again.unwrap_err().to_string().contains("out.jsonl is there already"));
}

/// Answers some images and then nothing any more.
struct Failing {
    inner: Local,
    left: AtomicUsize,
    asked: AtomicUsize,
}

impl Asker for Failing {
    fn post(&self, target: &str, body: Body) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let is_left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_left {
            return self.inner.post(target, body);
        }
        async { Err(Failure::Lasting("the network is gone".into())) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_and_gives_the_same() {
    let (world, dir, out) = (world(), data(), tempfile::tempdir().unwrap());
    let server = world.server().await;
    let (whole, out) = (out.path().join("whole.jsonl"), out.path().join("out.jsonl"));
    // One at a time, so that it is known which are answered.
    let (found, settings) = (listed(dir.path()), Settings { at_once: 1, ..settings(&["one", "two"]) });
    run(Arc::new(Local::new(server.app())), &found, &whole, &settings, |_| ()).await.unwrap();
    let partial = PathBuf::from(format!("{}.partial", out.display()));
    for answered in 1..4 {
        let failing = Failing { inner: Local::new(server.app()), left: answered.into(), asked: 0.into() };
        let failed = run(Arc::new(failing), &found, &out, &settings, |_| ()).await;
        assert!(format!("{:#}", failed.unwrap_err()).contains("the network is gone"));
        // A crash in the middle of a line.
        let torn = std::fs::read_to_string(&partial).unwrap() + "{\"image\": \"b/";
        std::fs::write(&partial, torn).unwrap();
        let other =
            Settings { question: Question { top_k: 1, ..settings.question.clone() }, ..settings.clone() };
        let refused = run(Arc::new(Local::new(server.app())), &found, &out, &other, |_| ()).await;
        assert!(refused.unwrap_err().to_string().contains("other tasks, images or options"));
        let asker =
            Arc::new(Failing { inner: Local::new(server.app()), left: usize::MAX.into(), asked: 0.into() });
        let summary = run(Arc::clone(&asker) as _, &found, &out, &settings, |_| ()).await.unwrap();
        assert_eq!(summary.resumed, answered);
        assert_eq!(asker.asked.load(Ordering::Relaxed), 4 - summary.resumed);
        assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap(), "{answered}");
        std::fs::remove_file(&out).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_gives_the_same_lines() {
    let (world, dir, out) = (world(), data(), tempfile::tempdir().unwrap());
    let here = out.path().join("here.jsonl");
    let there = out.path().join("there.jsonl");
    let (found, settings) = (listed(dir.path()), settings(&["one", "two"]));
    let server = world.server().await;
    run(Arc::new(Local::new(server.app())), &found, &here, &settings, |_| ()).await.unwrap();
    let running = crate::server::start(world.config(), None).await;
    let options = |url: String| RemoteOptions {
        url,
        key: None,
        authorities: None,
        connections: 2,
        patience: Duration::from_secs(5),
    };
    let remote = Remote::new(options(format!("http://{}/", running.address))).unwrap();
    run(Arc::new(remote), &found, &there, &settings, |_| ()).await.unwrap();
    assert_eq!(std::fs::read(&here).unwrap(), std::fs::read(&there).unwrap());
    for url in ["localhost:8080", "ftp://a/b", "http://a/?b", "http://"] {
        assert!(Remote::new(options(url.into())).is_err(), "{url}");
    }
    let nobody = Remote::new(options("http://127.0.0.1:1".into())).unwrap();
    let short = Settings { patience: Duration::from_millis(300), ..settings };
    let failed = run(Arc::new(nobody), &found, &out.path().join("no.jsonl"), &short, |_| ()).await;
    assert!(format!("{:#}", failed.unwrap_err()).contains("no answer for"));
}

fn predict(world: &World, data: &Path, more: &[&str]) -> Output {
    let data = data.to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.args(["predict", "--data", data, "--onnxruntime"]).arg(crate::support::runtime_options().library);
    command.args(["--adapters", world.adapters.path().to_str().unwrap(), "--models"]);
    command
        .arg(world.tiny.folder.parent().unwrap())
        .arg("--backbone")
        .arg(world.tiny.folder.file_name().unwrap());
    command.args(more).output().unwrap()
}

#[test]
fn the_command_writes_a_table_and_names_what_is_wrong() {
    let (world, dir, out) = (world(), data(), tempfile::tempdir().unwrap());
    let out = out.path().join("out.csv");
    let list = dir.path().join("list.txt");
    std::fs::write(&list, "# two images\nz.png\n\nb/c/grey.png\nnowhere.png\n").unwrap();
    let told = out.to_str().unwrap();
    let done = predict(&world, &list, &["--task", "one,two", "--out", told, "--top-k", "2"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("3 images under 2 task(s)") && said.contains("1 could not be scored"), "{said}");
    let mut table = csv::Reader::from_path(&out).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2 * 2 * 2 + 1);
    let first: Vec<&str> = rows[0].iter().take(4).collect();
    assert_eq!((first, &rows[2][1], &rows[1][3]), (vec!["z.png", "one", "1", "1"], "two", "2"));
    assert!(rows[0][6].parse::<f32>().unwrap() >= rows[1][6].parse::<f32>().unwrap());
    assert!(
        (&rows[8][0], &rows[8][1]) == ("nowhere.png", "") && rows[8][9].contains("cannot be read"),
        "{rows:?}"
    );
    for (more, why) in [
        (&["--task", "one,one", "--out", "a.csv"][..], "names one twice"),
        (&["--task", "one", "--out", "a.txt"], "a name that ends in .jsonl or .csv"),
        (&["--task", "one", "--out", "a.csv", "--logits"], "--logits needs"),
        (&["--task", "one", "--out", "a.csv", "--top-k", "0"], "--top-k 0"),
        (&["--task", "nobody", "--out", "/tmp/mimi-nobody.jsonl"], "task nobody"),
        (&["--task", "one", "--out", "a.csv", "--tls-ca", "x"], "--url"),
    ] {
        let done = predict(&world, &list, more);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(why), "{more:?}: {said}");
    }
    let _ = std::fs::remove_file("/tmp/mimi-nobody.jsonl.partial");
    let _ = std::fs::remove_file("/tmp/mimi-nobody.jsonl.partial.json");
}
