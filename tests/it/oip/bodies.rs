//! Bodies that are wrong or hostile: a clear refusal, and the server goes on.

use serde_json::{Value, json};

use super::{JSON_LENGTH, asked, infer, infer_binary, request, strings, world};
use crate::server::{Answer, image, send};

/// A failure in this protocol's form and nothing else.
pub fn told(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
    let length = answer.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
    assert!(length.is_none_or(|length| length == answer.body.len().to_string()));
    told["error"].as_str().unwrap().to_owned()
}

fn with_input(input: Value) -> Value {
    json!({"inputs": [input]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_its_numbers() {
    let world = world();
    let app = world.server().await.app();
    let big = 1u64 << 40;
    let cases = [
        (json!({}), "missing field `inputs`"),
        (json!({"inputs": []}), "0 inputs: expected one"),
        (
            json!({"inputs": vec![json!({"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aaaa"]}); 2]}),
            "2 inputs",
        ),
        (
            with_input(json!({"name": "x", "datatype": "BYTES", "shape": [1], "data": ["aaaa"]})),
            "this model takes",
        ),
        (
            with_input(json!({"name": "image", "datatype": "FP99", "shape": [1], "data": []})),
            "unknown datatype",
        ),
        (with_input(json!({"name": "image", "datatype": "BYTES", "shape": [1]})), "neither"),
        (
            with_input(json!({"name": "image", "datatype": "BYTES", "shape": [2], "data": ["aaaa"]})),
            "has 2 elements, and 1 came",
        ),
        (
            with_input(json!({"name": "image", "datatype": "BYTES", "shape": [big, big], "data": ["aaaa"]})),
            "more elements than can be counted",
        ),
        (with_input(json!({"name": "image", "datatype": "BYTES", "shape": [-1], "data": ["aaaa"]})), "-1"),
        (
            with_input(json!({"name": "image", "datatype": "BYTES", "shape": [9], "data": vec!["aaaa"; 9]})),
            "expected 1 to 8",
        ),
        (with_input(json!({"name": "image", "datatype": "BYTES", "shape": [0], "data": []})), "0 image(s)"),
        (
            with_input(json!({"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]})),
            "string 0 is not base64",
        ),
        (
            with_input(json!({"name": "image", "datatype": "BYTES", "shape": [1], "data": [1]})),
            "a number stands among strings",
        ),
        (
            with_input(
                json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 1, 256]}),
            ),
            "256: expected 0 to 255",
        ),
        (
            with_input(
                json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 1, 0.5]}),
            ),
            "0.5: expected 0 to 255",
        ),
        (
            with_input(json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 3], "data": [0, 1, 2]})),
            "expected UINT8 [B, H, W, 3]",
        ),
        (
            with_input(json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 0, 1, 3], "data": []})),
            "has no pixels",
        ),
        (
            with_input(
                json!({"name": "pixels", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": vec![0; 12]}),
            ),
            "as this backbone takes",
        ),
        (
            with_input(json!({"name": "pixels", "datatype": "FP64", "shape": [1], "data": [0]})),
            "values in JSON are taken of",
        ),
        (
            with_input(
                json!({"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 4}}),
            ),
            "more than the 0 bytes",
        ),
        (json!({"parameters": {"top_k": 0}, "inputs": []}), "top_k = 0"),
        (json!({"parameters": {"top_k": "many"}, "inputs": []}), "top_k = \"many\""),
        (json!({"parameters": {"x": [1]}, "inputs": []}), "a parameter is a string, a number, true or false"),
        (json!({"outputs": [{"name": "scores"}], "inputs": []}), "output \"scores\""),
        (json!({"outputs": [{"name": "logits"}, {"name": "logits"}], "inputs": []}), "asked for twice"),
        (
            json!({"outputs": [{"name": "labels", "parameters": {"classification": 2}}], "inputs": []}),
            "has no classes",
        ),
        (json!({"outputs": [{"name": "values"}], "inputs": []}), "output \"values\""),
    ];
    for (body, words) in cases {
        let error = told(&infer(&app, "one", &body).await, 400);
        assert!(error.contains(words), "{words}: {error}");
    }
    let parameters: Value =
        (0..65).map(|number| (format!("p{number}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let error = told(&infer(&app, "one", &json!({"parameters": parameters, "inputs": []})).await, 400);
    assert!(error.contains("65 parameters"), "{error}");
    let side = world.tiny.config.image_size();
    let mut huge = vec![0.0; 3 * side * side];
    huge[7] = 1e30;
    let input = json!({"name": "pixels", "datatype": "FP32", "shape": [1, 3, side, side], "data": huge});
    let error = told(&infer(&app, "one", &with_input(input)).await, 400);
    assert!(error.contains("element 7"), "{error}");
    // All that went wrong leaves nothing behind.
    assert_eq!(infer(&app, "one", &asked(&image("rgb.png"), &[])).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_never_reach_beyond_the_body() {
    let world = world();
    let app = world.server().await.app();
    let picture = image("rgb.png");
    let tail = strings(&[&picture]);
    let with = |size: u64, shape: Value| {
        with_input(json!({"name": "image", "datatype": "BYTES", "shape": shape,
        "parameters": {"binary_data_size": size}}))
    };
    let size = tail.len() as u64;
    for (json, tail, words) in [
        (with(size + 1, json!([1])), &tail[..], "more than the"),
        (with(u64::MAX, json!([1])), &tail, "expected a whole number"),
        (with(i64::MAX as u64, json!([1])), &tail, "more than the"),
        (with(size - 1, json!([1])), &tail, "string 0 has"),
        (with(size, json!([1])), &[&tail[..], b"x"].concat(), "1 bytes behind the JSON"),
        (with(size, json!([2])), &tail, "and 1 came"),
        (with(size, json!([u64::MAX])), &tail, "image(s)"),
        (with(8, json!([2])), &[0, 0, 0, 0, 255, 255, 255, 255], "string 1 has 4294967295 bytes"),
    ] {
        let error = told(&infer_binary(&app, "one", &json, tail).await, 400);
        assert!(error.contains(words) || error.contains("strings cannot stand in"), "{words}: {error}");
    }
    for length in ["99999999", "-1", "x", "18446744073709551616", ""] {
        let asked = request("/v2/models/one/infer", "{}", Some(length));
        let error = told(&send(&app, asked).await, 400);
        assert!(error.contains(JSON_LENGTH), "{error}");
    }
    let mut zipped = request("/v2/models/one/infer", "{}", None);
    zipped.headers_mut().insert("content-encoding", "br".parse().unwrap());
    assert!(told(&send(&app, zipped).await, 415).contains("content-encoding"));
    // Nested deeper than any tensor, and longer than any body.
    let deep = format!(
        "{{\"inputs\": [{{\"name\": \"image\", \"datatype\": \"BYTES\", \"shape\": [1], \"data\": {}",
        "[".repeat(100_000)
    );
    told(&send(&app, request("/v2/models/one/infer", deep, None)).await, 400);
    let long = vec![b' '; (1 << 20) + 1];
    told(&send(&app, request("/v2/models/one/infer", long, None)).await, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_statuses() {
    let world = world();
    let app = world.server().await.app();
    let good = asked(&image("rgb.png"), &[]);
    let at = |path: &str| request(path, good.to_string(), None);
    assert!(told(&send(&app, at("/v2/models/none/infer")).await, 404).contains("none"));
    assert!(told(&send(&app, at("/v2/models/one/versions/2/infer")).await, 404).contains("is not served"));
    assert_eq!(send(&app, at("/v2/models/one/versions/1/infer")).await.status, 200);
    told(&send(&app, at("/v2/models/a/b/infer")).await, 404);
    told(&send(&app, at("/v2/models/one")).await, 405);
    assert!(told(&send(&app, at("/v2/models/one/infer?x=1")).await, 400).contains("x"));
    told(&infer(&app, "one", &asked(b"no image at all", &[])).await, 415);
    let mut late = good.clone();
    late["parameters"] = json!({"timeout": 1});
    told(&infer(&app, "one", &late).await, 503);
    late["parameters"] = json!({"priority": 1});
    assert!(told(&infer(&app, "one", &late).await, 400).contains("priority = 1"));
    late["parameters"] = json!({"timeout": 600_000_001});
    assert!(told(&infer(&app, "one", &late).await, 400).contains("timeout = 600000001"));
    late["parameters"] = json!({"timeout": 60_000_000, "priority": 0, "custom": "x"});
    assert_eq!(infer(&app, "one", &late).await.status, 200);
}
