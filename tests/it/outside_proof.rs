//! `--check`: the library's answers to a few images prove the backbone, or no pack is written.

use std::path::PathBuf;

use mimi_server::import::pack::{Check, Request};

use crate::outside_packs::{World, outside};
use crate::server;

fn folder() -> PathBuf {
    outside().join("check")
}

fn request(world: &World, images: PathBuf, logits: PathBuf) -> Request {
    Request { check: Some(Check { images, logits }), ..world.request(&outside().join("peft_vit_head")) }
}

#[test]
fn the_foreign_answers_prove_the_backbone() {
    let world = World::new("vit");
    for name in ["logits.npy", "logits.safetensors", "logits.json"] {
        let report = world.import(&request(&world, folder().join("images"), folder().join(name))).unwrap();
        let proof = report.proof.unwrap();
        assert!(proof.images == 4 && proof.difference < 1e-4, "{name}: {proof:?}");
        let details = world.read(&report).manifest.provenance.details;
        assert_eq!(details["base_check"]["images"], 4);
        assert!(details.get("base_unverified").is_none());
        assert!(!report.notices.iter().any(|notice| notice.contains("nothing proves")));
    }
}

#[test]
fn other_answers_leave_no_pack() {
    let world = World::new("vit");
    let images = |name: &str| folder().join("images").join(name).display().to_string();
    let list = |names: &[&str]| {
        let path = world.dir.path().join("images.txt");
        std::fs::write(&path, names.map_lines(images)).unwrap();
        path
    };
    let error = |images, logits| world.error(&request(&world, images, logits));
    let turned = list(&["1.png", "0.png", "2.png", "3.png"]);
    let told = error(turned, folder().join("logits.npy"));
    assert!(told.contains("another backbone, other preprocessing, or images in another order"), "{told}");
    let told = error(list(&["1.png"]), folder().join("logits.npy"));
    assert!(told.contains("1 images in") && told.contains("but 4 rows in"), "{told}");
    let told = error(list(&["4.png"]), folder().join("logits.npy"));
    assert!(told.contains("but 4 rows"), "{told}");
    let files = [
        ("odd.json", &b"[[1.0, 2.0], [1, 2], [1, 2], [1, 2]]"[..], "2 logits a row"),
        ("text.json", b"{}", "expected a list of rows"),
        ("none.npy", b"\x93NUMPY", "is no array of NumPy"),
        ("logits.csv", b"1,2", "expected a file ending in .npy, .safetensors or .json"),
    ];
    for (name, bytes, words) in files {
        let path = world.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let told = error(folder().join("images"), path);
        assert!(told.contains(words), "{name}: {told}");
    }
    let told = error(outside().join("peft_vit_head"), folder().join("logits.npy"));
    assert!(told.contains("2 images in"), "{told}");
}

#[tokio::test]
async fn a_pack_of_peft_is_served_with_the_foreign_answer() {
    let (theirs, server) = (World::new("vit"), server::World::over(World::new("vit").tiny));
    let request = theirs.request(&outside().join("peft_vit_head"));
    let labels = ["heron", "kestrel", "wren"].map(String::from);
    let adapters = server.adapters.path().to_owned();
    let request = Request { adapters, labels: Some(labels.clone().into()), ..request };
    theirs.import(&request).unwrap();
    let app = server.server().await.app();
    let logits: Vec<Vec<f32>> =
        serde_json::from_slice(&std::fs::read(folder().join("logits.json")).unwrap()).unwrap();
    for (index, logits) in logits.iter().enumerate() {
        let image = std::fs::read(folder().join(format!("images/{index}.png"))).unwrap();
        let answer = server::classify(&app, "imported", image).await.json();
        let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
        for prediction in answer["predictions"].as_array().unwrap() {
            let class = labels.iter().position(|label| prediction["label"] == *label).unwrap();
            let found = prediction["score"].as_f64().unwrap() as f32;
            assert!((found - logits[class].exp() / sum).abs() < 1e-4, "{answer}");
        }
    }
    let status = server::get(&app, "/v1/tasks/imported").await.json();
    assert_eq!(status["base_unverified"], true, "{status}");
    assert_eq!(status["manifest"]["format_version"], 2);
    let proved = Request {
        check: Some(Check { images: folder().join("images"), logits: folder().join("logits.npy") }),
        task: "proved".parse().unwrap(),
        ..request
    };
    theirs.import(&proved).unwrap();
    server::post(&app, "/v1/tasks/proved/reload", "application/json", "").await;
    let status = server::get(&app, "/v1/tasks/proved").await.json();
    assert!(status["version"] == 1 && status.get("base_unverified").is_none(), "{status}");
}

/// Lines of a list.
trait Lines {
    fn map_lines(&self, of: impl Fn(&str) -> String) -> String;
}

impl Lines for [&str] {
    fn map_lines(&self, of: impl Fn(&str) -> String) -> String {
        self.iter().map(|name| of(name) + "\n").collect()
    }
}
