//! What each kind of head gives.

use mimi_server::pack::{Decision, ProblemType};
use serde_json::json;

use super::{asked, floats, images, infer, output};
use crate::server::{World, image};

fn world_of(decision: Decision, bias: [f32; 4]) -> World {
    let world = World::new();
    let mut contents = world.contents(1, 0);
    contents.head_bias = bias.to_vec();
    contents.decision = decision;
    world.publish("one", &contents);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn one_label_an_image() {
    let world = world_of(Decision::default(), [0.0, 9.0, 0.0, 5.0]);
    let app = world.server().await.app();
    let answer = infer(&app, "one", &asked(&image("rgb.png"), &[])).await;
    let names: Vec<String> =
        answer.json()["outputs"].as_array().unwrap().iter().map(|o| o["name"].to_string()).collect();
    assert_eq!(names, ["\"probabilities\"", "\"labels\""]);
    let probabilities = output(&answer, "probabilities");
    assert_eq!(probabilities["shape"], json!([1, 4]));
    assert!((floats(&probabilities).iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert_eq!(output(&answer, "labels")["data"], json!(["class-1"]));
    let body = json!({"inputs": asked(&image("rgb.png"), &[])["inputs"], "parameters": {"top_k": 2},
        "outputs": [{"name": "labels"}, {"name": "probabilities", "parameters": {"classification": 3}},
            {"name": "logits", "parameters": {"classification": 1}}, {"name": "embedding"}]});
    let answer = infer(&app, "one", &body).await;
    assert_eq!(output(&answer, "labels")["shape"], json!([1, 2]));
    assert_eq!(output(&answer, "labels")["data"], json!(["class-1", "class-3"]));
    let classes = output(&answer, "probabilities");
    assert_eq!((&classes["datatype"], &classes["shape"]), (&json!("BYTES"), &json!([1, 3])));
    let first = classes["data"][0].as_str().unwrap();
    let parts: Vec<&str> = first.split(':').collect();
    assert_eq!(parts[1..], ["1", "class-1"]);
    assert_eq!(parts[0].parse::<f32>().unwrap().to_bits(), floats(&probabilities)[1].to_bits());
    assert_eq!(output(&answer, "logits")["shape"], json!([1, 1]));
    let width = world.tiny.config.feature_width();
    assert_eq!(output(&answer, "embedding")["shape"], json!([1, width]));
    assert_eq!(floats(&output(&answer, "embedding")).len(), width);
    let told = answer.json();
    for name in ["version", "pack_digest", "backbone", "precision", "build"] {
        assert!(told["parameters"][name].as_str().is_some_and(|text| !text.is_empty()), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_labels_an_image() {
    let problem = ProblemType::MultiLabelClassification;
    let world = world_of(Decision { problem, ..Decision::default() }, [-99.0, 99.0, -99.0, 99.0]);
    let app = world.server().await.app();
    let answer = infer(&app, "one", &asked(&image("rgb.png"), &[])).await;
    assert_eq!(output(&answer, "labels")["data"], json!(["class-1", "class-3"]));
    assert!(floats(&output(&answer, "probabilities")).iter().sum::<f32>() > 1.9);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_at_all() {
    let problem = ProblemType::MultiLabelClassification;
    let world = world_of(Decision { problem, ..Decision::default() }, [-99.0; 4]);
    let app = world.server().await.app();
    let answer = infer(&app, "one", &asked(&image("rgb.png"), &["labels"])).await;
    assert_eq!(output(&answer, "labels")["shape"], json!([1, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn values() {
    let problem = ProblemType::Regression;
    let world = world_of(Decision { problem, ..Decision::default() }, [1.0, 2.0, 3.0, 4.0]);
    let app = world.server().await.app();
    for bytes in images() {
        let told = output(&infer(&app, "one", &asked(&bytes, &[])).await, "values");
        assert_eq!(told, {
            let mut same = output(&infer(&app, "one", &asked(&bytes, &["logits"])).await, "logits");
            same["name"] = json!("values");
            same
        });
        let refused = infer(&app, "one", &asked(&bytes, &["probabilities"])).await;
        assert!(
            super::bodies::told(&refused, 400)
                .contains("a model of regression gives values, logits, embedding")
        );
    }
}

/// Several images have their answers in their order.
#[tokio::test(flavor = "multi_thread")]
async fn images_keep_their_order() {
    let world = super::world();
    let app = world.server().await.app();
    let all = ["rgb.png", "grey.png", "garment.png"].map(image);
    let mut alone = Vec::new();
    for one in &all {
        alone.extend(floats(&output(&infer(&app, "one", &asked(one, &["logits"])).await, "logits")));
    }
    let tail = super::strings(&[&all[0], &all[1], &all[2]]);
    let body = json!({"outputs": [{"name": "logits"}], "inputs": [{"name": "image", "datatype": "BYTES",
        "shape": [3, 1], "parameters": {"binary_data_size": tail.len()}}]});
    let together = output(&super::infer_binary(&app, "one", &body, &tail).await, "logits");
    assert_eq!(together["shape"], json!([3, 4]));
    crate::support::assert_close("logits", &floats(&together), &alone, 1e-4);
}
