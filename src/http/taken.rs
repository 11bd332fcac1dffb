//! What requests bring, as the description has it: bodies and headers that more than one form may have.

use serde_json::{Value, json};

/// The smallest PNG, as an example.
const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Describes what the routes take.
pub(super) fn add(document: &mut Value) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths {
        let Some(operation) = item.get_mut("post").and_then(Value::as_object_mut) else { continue };
        if let Some(body) = body(path) {
            operation.insert("requestBody".into(), body);
        }
        if is_inference(path)
            && let Some(parameters) = operation.entry("parameters").or_insert(json!([])).as_array_mut()
        {
            parameters.extend(headers());
        }
    }
}

fn is_inference(path: &str) -> bool {
    path.ends_with("/classify") || path.ends_with("/embed") || path.ends_with("/infer")
}

/// Headers that every inference takes.
fn headers() -> [Value; 3] {
    let header = |name: &str, schema: Value, meaning: &str| json!({"name": name, "in": "header", "required": false, "schema": schema, "description": meaning});
    [
        header(
            "x-mimi-timeout-ms",
            json!({"type": "integer", "minimum": 0, "maximum": 600_000}),
            "milliseconds from the request's arrival to when the answer is of no more use",
        ),
        header(
            "x-mimi-prefix-cache",
            json!({"type": "string", "enum": ["on", "off"]}),
            "with off, nothing of the images is kept or looked up",
        ),
        header("x-request-id", json!({"type": "string", "maxLength": 128}), "the request's name"),
    ]
}

/// The body of a route.
fn body(path: &str) -> Option<Value> {
    let (meaning, content, is_required) = match path {
        "/v1/tasks/{task}/classify" | "/v1/embed" => ("Images", images(), true),
        "/v1/classify" => ("An image and tasks", many(), true),
        "/v2/models/{model}/infer" => ("The Open Inference Protocol's request", infer(), true),
        "/v2/repository/index" => {
            let ready = json!({"type": "boolean", "description": "only models that answer"});
            ("Which models", of_json(&json!({"ready": ready}), &json!({})), false)
        }
        "/v2/repository/models/{model}/load" => (
            "Files of a version, in base64, as `file:VERSION/NAME`",
            of_json(&json!({"parameters": parameters()}), &json!({})),
            false,
        ),
        "/v2/repository/models/{model}/unload" => {
            ("Nothing that matters", of_json(&json!({"parameters": parameters()}), &json!({})), false)
        }
        _ => return None,
    };
    Some(json!({"description": meaning, "required": is_required, "content": content}))
}

/// An object in JSON.
fn of_json(properties: &Value, example: &Value) -> Value {
    json!({"application/json": {"schema": {"type": "object", "properties": properties}, "example": example}})
}

fn encoded() -> Value {
    json!({"type": "string", "contentEncoding": "base64", "description": "an encoded image"})
}

fn binary() -> Value {
    json!({"type": "string", "format": "binary", "description": "an encoded image"})
}

fn top_k() -> Value {
    json!({"type": "integer", "minimum": 1, "description": "how many predictions"})
}

/// An image alone, in JSON, or in a form.
fn images() -> Value {
    let list = json!({"type": "array", "minItems": 1, "items": encoded()});
    let json = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"image": encoded(), "images": list, "top_k": top_k()},
        "oneOf": [{"required": ["image"]}, {"required": ["images"]}],
    });
    let form = json!({"type": "object", "required": ["image"], "properties": {"image": binary()}});
    json!({
        "application/octet-stream": {"schema": binary()},
        "application/json": {"schema": json, "example": {"image": IMAGE}},
        "multipart/form-data": {"schema": form},
    })
}

fn many() -> Value {
    let names = json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string"}});
    let json = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["image", "tasks"],
        "properties": {"image": encoded(), "tasks": names, "top_k": top_k()},
    });
    let tasks = json!({"type": "string", "description": "names of tasks, comma-separated"});
    let form = json!({"type": "object", "required": ["image", "tasks"], "properties": {"image": binary(), "tasks": tasks}});
    json!({
        "application/json": {"schema": json, "example": {"image": IMAGE, "tasks": ["openclipart"]}},
        "multipart/form-data": {"schema": form},
    })
}

/// Parameters of a request, an input or an output.
fn parameters() -> Value {
    let value = json!({"type": ["string", "number", "boolean"]});
    json!({"type": "object", "maxProperties": 64, "additionalProperties": value})
}

/// A request in JSON. Tensors may follow it in binary, and the body may be one image alone.
fn infer() -> Value {
    let mut own = parameters();
    own["properties"] = json!({
        "top_k": top_k(),
        "timeout": {"type": "integer", "minimum": 0, "maximum": 600_000_000, "description": "microseconds"},
        "priority": {"type": "integer", "minimum": 0, "maximum": 3, "description": "1 is the highest, 0 the default"},
        "binary_data_output": {"type": "boolean"},
    });
    let input = json!({
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string", "enum": ["image", "pixels"]},
            "datatype": {"type": "string", "enum": ["BYTES", "UINT8", "FP32"]},
            "shape": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "integer", "minimum": 1}},
            "parameters": parameters(),
            "data": {"type": "array", "description": "nested or flat; images are base64"},
        },
    });
    let name =
        json!({"type": "string", "enum": ["probabilities", "labels", "values", "logits", "embedding"]});
    let output = json!({"type": "object", "required": ["name"], "properties": {"name": name, "parameters": parameters()}});
    let schema = json!({
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": 256},
            "parameters": own,
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": input},
            "outputs": {"type": "array", "maxItems": 5, "items": output},
        },
    });
    let example = json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [IMAGE]}]});
    json!({
        "application/json": {"schema": schema, "example": example},
        "application/octet-stream": {"schema": binary()},
    })
}
