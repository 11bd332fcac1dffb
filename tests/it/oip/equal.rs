//! The same image gives the same bits, whichever way it comes.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{asked, floats, images, infer, infer_binary, output, scores_by_v1, strings, taken_apart, world};
use crate::support;

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

fn of_bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_binary_raw_and_v1_give_the_same_bits() {
    let world = world();
    let app = world.server().await.app();
    for bytes in images() {
        let names = ["logits", "probabilities", "labels", "embedding"];
        let plain = infer(&app, "one", &asked(&bytes, &names)).await;
        let tail = strings(&[&bytes]);
        let json = json!({"parameters": {"binary_data_output": true}, "id": "7",
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1],
                "parameters": {"binary_data_size": tail.len()}}],
            "outputs": names.map(|name| json!({"name": name}))});
        let binary = infer_binary(&app, "one", &json, &tail).await;
        let (head, parts) = taken_apart(&binary);
        assert_eq!((head["id"].as_str(), head["model_name"].as_str()), (Some("7"), Some("one")));
        for (name, own) in &parts {
            let told = output(&plain, name);
            if name == "labels" {
                let text = told["data"][0].as_str().unwrap();
                assert_eq!(*own, strings(&[text.as_bytes()]));
            } else {
                assert_eq!(bits(&floats(&told)), of_bytes(own), "{name}");
            }
        }
        // The default outputs, of an image and nothing else.
        let raw = super::request("/v2/models/one/infer", bytes.clone(), Some("0"));
        let (_, raw) = taken_apart(&crate::server::send(&app, raw).await);
        assert_eq!(
            raw.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["probabilities", "labels"]
        );
        assert_eq!(raw[0].1, parts[1].1);
        // The same labels and scores as v1.
        let shown = world.tiny.config.name.clone();
        assert_eq!(head["parameters"]["backbone"], shown);
        let labels = output(&infer(&app, "one", &with_top_k(&bytes)).await, "labels");
        let scores = floats(&output(&plain, "probabilities"));
        let by_v1 = scores_by_v1(&app, &bytes).await;
        let likeliest: Vec<&str> = by_v1.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels["data"], json!(likeliest));
        for (label, score) in &by_v1 {
            let index: usize = label.trim_start_matches("class-").parse().unwrap();
            assert_eq!(score.to_bits(), scores[index].to_bits(), "{label}");
        }
    }
}

fn with_top_k(bytes: &[u8]) -> Value {
    let mut asked = asked(bytes, &["labels"]);
    asked["parameters"] = json!({"top_k": 100});
    asked
}

/// Samples go through the same preparation as a file of them; prepared ones go straight to the backbone.
#[tokio::test(flavor = "multi_thread")]
async fn pixels_give_what_their_file_gives() {
    let world = world();
    let app = world.server().await.app();
    let side = world.tiny.config.image_size();
    // One image: rows beside each other differ in the last bit from rows alone.
    let samples: Vec<u8> = (0..40 * 50 * 3).map(|at: usize| (at * at % 251) as u8).collect();
    let files: Vec<Vec<u8>> = samples
        .chunks(40 * 50 * 3)
        .map(|one| {
            let mut file = Cursor::new(Vec::new());
            RgbImage::from_raw(50, 40, one.to_vec()).unwrap().write_to(&mut file, ImageFormat::Png).unwrap();
            file.into_inner()
        })
        .collect();
    let outputs = json!([{"name": "logits"}]);
    let tail = strings(&[&files[0]]);
    let by_file = json!({"outputs": outputs, "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1],
        "parameters": {"binary_data_size": tail.len()}}]});
    let expected = bits(&floats(&output(&infer_binary(&app, "one", &by_file, &tail).await, "logits")));
    let by_samples = json!({"outputs": outputs, "inputs": [{"name": "pixels", "datatype": "UINT8",
        "shape": [1, 40, 50, 3], "parameters": {"binary_data_size": samples.len()}}]});
    let told = floats(&output(&infer_binary(&app, "one", &by_samples, &samples).await, "logits"));
    assert_eq!(bits(&told), expected);
    let prepared: Vec<f32> = samples
        .chunks(40 * 50 * 3)
        .flat_map(|one| {
            let image = RgbImage::from_raw(50, 40, one.to_vec()).unwrap();
            world.tiny.config.preprocessing.apply(&image).unwrap()
        })
        .collect();
    let by_prepared = json!({"outputs": outputs, "inputs": [{"name": "pixels", "datatype": "FP32",
        "shape": [1, 3, side, side], "data": prepared}]});
    let told = floats(&output(&infer(&app, "one", &by_prepared).await, "logits"));
    assert_eq!(bits(&told), expected);
}

/// However lists are nested, the values are the same.
fn nested(flat: &[u8], shape: &[usize]) -> Value {
    match shape {
        [] | [_] => json!(flat),
        [first, rest @ ..] => flat.chunks(flat.len() / first).map(|part| nested(part, rest)).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn nested_flat_and_binary_say_the_same(height in 1usize..6, width in 1usize..6, seed in 0u64..1000) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let world = world();
        // One image: rows beside each other differ in the last bit from rows alone.
        let shape = [1, height, width, 3];
        let length: usize = shape.iter().product();
        let bytes = support::Random::new(seed).floats(length, 127.0);
        let flat: Vec<u8> = bytes.iter().map(|value| (value + 128.0).clamp(0.0, 255.0) as u8).collect();
        let asked = |data: Value| json!({"outputs": [{"name": "logits"}], "inputs": [
            {"name": "pixels", "datatype": "UINT8", "shape": shape, "data": data}]});
        let binary = json!({"outputs": [{"name": "logits"}], "inputs": [
            {"name": "pixels", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": length}}]});
        let (one, two, three) = runtime.block_on(async {
            let app = world.server().await.app();
            let one = infer(&app, "one", &asked(json!(flat))).await;
            let two = infer(&app, "one", &asked(nested(&flat, &shape))).await;
            let three = infer_binary(&app, "one", &binary, &flat).await;
            (one, two, three)
        });
        let one = output(&one, "logits");
        prop_assert_eq!(&output(&two, "logits"), &one);
        prop_assert_eq!(&output(&three, "logits"), &one);
    }
}
