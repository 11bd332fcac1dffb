//! What goes in wrongly, with the status that comes out: one table, which `docs/bad-inputs.md` shows. After a change,
//! `UPDATE_DOCS=1 cargo test --test it bad_inputs` rewrites that file.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::classify::{base64, form, part};
use crate::server::{World, classify, image, send};
use crate::support::repository;

const ONE: &str = "/v1/tasks/one/classify";
const MANY: &str = "/v1/classify";
const EMBED: &str = "/v1/embed";
const RAW: &str = "application/octet-stream";
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=cut";

/// One bad input.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(
    what: &'static str,
    path: &str,
    kind: &str,
    body: impl Into<Vec<u8>>,
    end: (u16, &'static str),
) -> Case {
    let headers = vec![("content-type", kind.to_owned())];
    let (status, code) = end;
    Case { what, method: "POST", path: path.into(), headers, body: body.into(), status, code }
}

impl Case {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn request(&self) -> Request<Body> {
        let request = Request::builder().method(self.method).uri(&self.path);
        let headers =
            self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        headers.body(Body::from(self.body.clone())).unwrap()
    }
}

/// A PNG header that declares a size, with its checksum, and the beginning of its data.
fn png_of_size(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    let data = b"\0\0\0\x40IDAT\x78\x9c\0\0\0\0".to_vec();
    [signature, 13u32.to_be_bytes().to_vec(), chunk, (!crc).to_be_bytes().to_vec(), data].concat()
}

const NO_TASK: (u16, &str) = (404, "task_not_found");
const INVALID: (u16, &str) = (400, "invalid_request");
const KIND: (u16, &str) = (415, "unsupported_media_type");
const BROKEN: (u16, &str) = (422, "invalid_image");
const LARGE: (u16, &str) = (413, "image_too_large");

fn addresses(png: &[u8]) -> Vec<Case> {
    let to = |what, path: &str, end| case(what, path, RAW, png, end);
    let get = |what, path: &str, end| case(what, path, RAW, "", end).by("GET");
    let long = format!("/v1/tasks/{}/classify", "x".repeat(65));
    vec![
        to("unknown task", "/v1/tasks/nobody/classify", NO_TASK),
        to("upper case id", "/v1/tasks/ONE/classify", NO_TASK),
        to("dots as id", "/v1/tasks/../classify", NO_TASK),
        to("encoded path trick", "/v1/tasks/..%2F..%2Fetc/classify", NO_TASK),
        to("encoded nul", "/v1/tasks/one%00/classify", NO_TASK),
        to("encoded line break", "/v1/tasks/one%0a/classify", NO_TASK),
        to("backslashes", "/v1/tasks/..%5Cone/classify", NO_TASK),
        to("hidden name", "/v1/tasks/.one/classify", NO_TASK),
        to("empty id", "/v1/tasks/%20/classify", NO_TASK),
        to("accent in the id", "/v1/tasks/%C3%A9/classify", NO_TASK),
        to("long id", &long, NO_TASK),
        to("id of other bytes than UTF-8", "/v1/tasks/%ff/classify", INVALID),
        to("no such route", "/v3/nothing", (404, "not_found")),
        to("the root", "/", (405, "method_not_allowed")),
        to("a slash too many", "/v1/tasks/one/classify//", (404, "not_found")),
        to("a task without a verb", "/v1/tasks/one/", (405, "method_not_allowed")),
        to("another verb", "/v1/tasks/one/predict", (404, "not_found")),
        case("DELETE", ONE, RAW, "", (405, "method_not_allowed")).by("DELETE"),
        case("GET of a classify route", ONE, RAW, "", (405, "method_not_allowed")).by("GET"),
        case("PUT of a task", "/v1/tasks/one", RAW, "", (405, "method_not_allowed")).by("PUT"),
        case("POST to health", "/healthz", RAW, "", (405, "method_not_allowed")),
        get("GET of a reload", "/v1/tasks/one/reload", (405, "method_not_allowed")),
        to("reload of an unknown task", "/v1/tasks/nobody/reload", NO_TASK),
        to("reload of no id", "/v1/tasks/NO/reload", NO_TASK),
        to("reload of other bytes", "/v1/tasks/%ff/reload", INVALID),
        get("show of an unknown task", "/v1/tasks/nobody", NO_TASK),
        get("show of other bytes", "/v1/tasks/%ff", INVALID),
    ]
}

fn parameters(png: &[u8]) -> Vec<Case> {
    let ask = |what, query: &str| case(what, &format!("{ONE}?{query}"), RAW, png, INVALID);
    let list = |what, query: &str| case(what, &format!("/v1/tasks?{query}"), RAW, "", INVALID).by("GET");
    let head = |what, name, value: &str| case(what, ONE, RAW, png, INVALID).with(name, value);
    vec![
        ask("top_k 0", "top_k=0"),
        ask("top_k a word", "top_k=all"),
        ask("top_k negative", "top_k=-1"),
        ask("top_k a fraction", "top_k=1.5"),
        ask("top_k empty", "top_k="),
        ask("top_k without a value", "top_k"),
        ask("top_k larger than 64 bits", "top_k=99999999999999999999"),
        ask("top_k twice", "top_k=1&top_k=2"),
        ask("misspelt topk", "topk=1"),
        ask("misspelt top-k", "top-k=1"),
        ask("upper case TOP_K", "TOP_K=1"),
        ask("an unknown parameter beside a known one", "top_k=1&verbose=1"),
        ask("a parameter without a name", "=1"),
        case("an unknown parameter of many", &format!("{MANY}?tasks=one"), RAW, png, INVALID),
        case("an unknown parameter of reload", "/v1/tasks/one/reload?version=2", RAW, "", INVALID),
        case("an unknown parameter of a task", "/v1/tasks/one?full=1", RAW, "", INVALID).by("GET"),
        list("limit 0", "limit=0"),
        list("limit too large", "limit=1001"),
        list("limit a word", "limit=abc"),
        list("limit negative", "limit=-1"),
        list("misspelt limit", "limits=5"),
        list("after no id", "after=A"),
        list("offset", "offset=5"),
        head("timeout a word", "x-mimi-timeout-ms", "soon"),
        head("timeout negative", "x-mimi-timeout-ms", "-1"),
        head("timeout empty", "x-mimi-timeout-ms", ""),
        head("timeout too long", "x-mimi-timeout-ms", "600001"),
        head("timeout in seconds", "x-mimi-timeout-ms", "5s"),
        head("misspelt timeout", "x-mimi-timeout", "5"),
        head("prefix cache maybe", "x-mimi-prefix-cache", "maybe"),
        case("timeout 0", ONE, RAW, png, (503, "deadline_exceeded")).with("x-mimi-timeout-ms", "0"),
    ]
}

fn pictures(png: &[u8], jpg: &[u8]) -> Vec<Case> {
    let send = |what, bytes: &[u8], end| case(what, ONE, RAW, bytes, end);
    let (webp, bmp, gif) = (image("lossy.webp"), image("rgb.bmp"), b"GIF89a".to_vec());
    vec![
        send("empty body", b"", BROKEN),
        send("one byte", b"\0", KIND),
        send("text", b"hello", KIND),
        send("html", b"<html><body></body></html>", KIND),
        send("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", KIND),
        send("pdf", b"%PDF-1.7 nothing", KIND),
        send("zip", b"PK\x03\x04 nothing", KIND),
        send("gzip", b"\x1f\x8b\x08 nothing", KIND),
        send("zeros", &[0; 1000], KIND),
        send("line breaks", &[b'\n'; 1000], KIND),
        send("JSON without its content type", br#"{"image": "AAAA"}"#, KIND),
        send("base64 without JSON", base64(png).as_bytes(), KIND),
        send("half a png", &png[..png.len() / 2], BROKEN),
        send("png signature", &png[..8], BROKEN),
        send("png signature and text", b"\x89PNG\r\n\x1a\nhello hello hello hello", LARGE),
        send("png without its end's data", &png[..png.len() - 20], BROKEN),
        send("half a jpeg", &jpg[..jpg.len() / 2], BROKEN),
        send("jpeg head", &jpg[..20], BROKEN),
        send("half a webp", &webp[..60], BROKEN),
        send("half a bmp", &bmp[..60], BROKEN),
        send("gif signature", &gif, BROKEN),
        send("png bomb", &png_of_size(100_000, 100_000), LARGE),
        send("png of the largest size", &png_of_size(0x7fff_ffff, 0x7fff_ffff), LARGE),
        send("wide png bomb", &png_of_size(2_000_001, 1), LARGE),
        send("high png bomb", &png_of_size(1, 2_000_001), LARGE),
        send("png without pixels", &png_of_size(0, 10), BROKEN),
        send("oversize body", &vec![7; (1 << 20) + 1], LARGE),
        send("a declared oversize body", png, LARGE).with("content-length", "1048577"),
    ]
}

fn documents(png: &[u8]) -> Vec<Case> {
    let ok = base64(png);
    let json = |what, value: Value, end| case(what, ONE, JSON, value.to_string(), end);
    let text = |what, text: &str| case(what, ONE, JSON, text, INVALID);
    let coded = |what, text: &str| case(what, ONE, JSON, json!({ "image": text }).to_string(), INVALID);
    let doubled = format!(r#"{{"image": "{ok}", "image": "{ok}"}}"#);
    vec![
        text("no JSON", "{"),
        text("empty JSON", ""),
        text("only a byte-order mark", "\u{feff}"),
        text("JSON without an image", "{}"),
        text("JSON null", "null"),
        text("a JSON list", "[1]"),
        text("two JSON documents", "{} {}"),
        text("deep JSON", &"[".repeat(10_000)),
        text("JSON with a comment", "// image\n{}"),
        text("a field twice", &doubled),
        json("both image and images", json!({"image": ok, "images": [ok]}), INVALID),
        json("no images", json!({"images": []}), INVALID),
        json("images no list", json!({"images": ok}), INVALID),
        json("image a list", json!({"image": [ok]}), INVALID),
        json("image a number", json!({"image": 7}), INVALID),
        json("image null", json!({"image": null}), INVALID),
        json("one image null", json!({"images": [ok, null]}), INVALID),
        json("too many images", json!({"images": vec![&ok; 9]}), INVALID),
        json("more rows than ever are served", json!({"images": vec![&ok; 5]}), (413, "request_too_large")),
        json("unknown field", json!({"image": ok, "topk": 1}), INVALID),
        json("body top_k 0", json!({"image": ok, "top_k": 0}), INVALID),
        json("body top_k negative", json!({"image": ok, "top_k": -1}), INVALID),
        json("body top_k a text", json!({"image": ok, "top_k": "1"}), INVALID),
        json("body top_k a fraction", json!({"image": ok, "top_k": 1.5}), INVALID),
        json("tasks in the wrong place", json!({"image": ok, "tasks": ["two"]}), INVALID),
        json("one bad image of two", json!({"images": [ok, base64(b"no")]}), KIND),
        json("base64 of text", json!({"image": base64(b"hello")}), KIND),
        json("an empty text", json!({"image": ""}), BROKEN),
        coded("no base64", "%%%"),
        coded("base64 of two alphabets", "+_+_"),
        coded("base64 of one sign", "A"),
        coded("base64 with a sign inside", "AAAA=AAA"),
        coded("a data URL without base64", "data:image/png,abc"),
        coded("an address", "https://example.com/a.png"),
        coded("a hexadecimal text", "0x89504e47!"),
        case("JSON of other bytes than UTF-8", ONE, JSON, b"{\"image\": \"\xff\"}", INVALID),
        case("JSON in UTF-16", ONE, JSON, b"\xff\xfe{\0}\0", INVALID),
        case("oversize JSON", ONE, JSON, vec![b' '; (1 << 20) + 1], LARGE),
    ]
}

fn forms(png: &[u8]) -> Vec<Case> {
    let post = |what, body: Vec<u8>, end| case(what, ONE, FORM, body, end);
    let cut = part("image", png)[..100].to_vec();
    vec![
        case("multipart without a boundary", ONE, "multipart/form-data", png, INVALID),
        case(
            "multipart of another boundary",
            ONE,
            "multipart/form-data; boundary=x",
            form(&[("image", png)]),
            INVALID,
        ),
        post("multipart cut short", cut, INVALID),
        post("empty multipart", vec![], INVALID),
        post("multipart without a part", form(&[]), INVALID),
        post("multipart without an image", form(&[("top_k", b"1")]), INVALID),
        post("multipart unknown field", form(&[("picture", png)]), INVALID),
        post("multipart field without a name", form(&[("", png)]), INVALID),
        post("multipart top_k a word", form(&[("image", png), ("top_k", b"x")]), INVALID),
        post("multipart top_k of other bytes", form(&[("image", png), ("top_k", b"\xff")]), INVALID),
        post("multipart tasks in the wrong place", form(&[("image", png), ("tasks", b"two")]), INVALID),
        post("multipart empty image", form(&[("image", b"")]), BROKEN),
        post("multipart text as image", form(&[("image", b"hello")]), KIND),
        post("multipart oversize", form(&[("image", &vec![7; 1 << 20])]), LARGE),
        post("multipart too many images", form(&vec![("image", png); 9]), INVALID),
    ]
}

fn many(png: &[u8]) -> Vec<Case> {
    let ok = base64(png);
    let json = |what, value: Value, end| case(what, MANY, JSON, value.to_string(), end);
    let names = |count: usize| (0..count).map(|i| format!("t{i}")).collect::<Vec<_>>();
    vec![
        json("many: no tasks", json!({"image": ok, "tasks": []}), INVALID),
        json("many: tasks missing", json!({"image": ok}), INVALID),
        json("many: tasks a text", json!({"image": ok, "tasks": "one"}), INVALID),
        json("many: a task a number", json!({"image": ok, "tasks": [1]}), INVALID),
        json("many: a task twice", json!({"image": ok, "tasks": ["one", "one"]}), INVALID),
        json("many: two images", json!({"images": [ok, ok], "tasks": ["one"]}), INVALID),
        json("many: no image", json!({"tasks": ["one"]}), INVALID),
        json("many: too many tasks", json!({"image": ok, "tasks": names(9)}), INVALID),
        json("many: bad image", json!({"image": base64(b"no"), "tasks": ["one"]}), KIND),
        case("many: raw image", MANY, RAW, png, INVALID),
        case(
            "many: empty task in a form",
            MANY,
            FORM,
            form(&[("image", png), ("tasks", b"")]),
            (200, "task_not_found"),
        ),
        json("many: one unknown task", json!({"image": ok, "tasks": ["one", "x"]}), (200, "task_not_found")),
    ]
}

fn features(png: &[u8]) -> Vec<Case> {
    let ok = base64(png);
    let json = |what, value: Value| case(what, EMBED, JSON, value.to_string(), INVALID);
    let under = |task: &str| format!("{EMBED}?{task}");
    vec![
        json("features: no image", json!({})),
        json("features: no images", json!({"images": []})),
        json("features: tasks in the body", json!({"image": ok, "tasks": ["one"]})),
        json("features: top_k in the body", json!({"image": ok, "top_k": 1})),
        case("features: an unknown parameter", &under("top_k=1"), RAW, png, INVALID),
        case("features: two tasks", &under("task=one&task=two"), RAW, png, INVALID),
        case("features: an empty task", &under("task="), RAW, png, NO_TASK),
        case("features: the name of no task", &under("task=-"), RAW, png, NO_TASK),
        case("features: an unknown task", &under("task=x"), RAW, png, NO_TASK),
        case("features: bad image", EMBED, RAW, b"no", KIND),
    ]
}

fn all() -> Vec<Case> {
    let (png, jpg) = (image("rgb.png"), image("baseline_420.jpg"));
    let mut all = addresses(&png);
    all.extend(parameters(&png));
    all.extend(pictures(&png, &jpg));
    all.extend(documents(&png));
    all.extend(forms(&png));
    all.extend(many(&png));
    all.extend(features(&png));
    all
}

/// A world whose server never serves more than four rows at once.
async fn server(world: &World) -> mimi_server::serve::Server {
    let mut config = world.config();
    config.engine.queue_limit = 4;
    mimi_server::serve::Server::build(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_bad_inputs_get_their_status_and_harm_nobody() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    world.publish("two", &world.contents(2, 2));
    let app = server(&world).await.app();
    let cases = all();
    assert!(cases.len() >= 150, "{}", cases.len());
    let before = classify(&app, "two", image("rgb.png")).await.json();
    for case in &cases {
        let answer = send(&app, case.request()).await;
        let body = answer.json();
        let body = body["results"].as_array().and_then(|results| results.last()).unwrap_or(&body);
        let found = (answer.status.as_u16(), body["code"].as_str().unwrap_or_default());
        assert_eq!(found, (case.status, case.code), "{}: {}", case.what, answer.text());
        assert!(!body["error"].as_str().unwrap().is_empty(), "{} has no words", case.what);
        let again = answer.headers.contains_key("retry-after");
        assert_eq!(again, matches!(case.status, 429 | 503), "{}", case.what);
    }
    // Nothing leaked: every place is free again, and the other tenant's answer is what it was.
    let ok = base64(&image("rgb.png"));
    let full = json!({"images": vec![&ok; 4]}).to_string();
    assert_eq!(send(&app, case("", ONE, JSON, full, (200, "")).request()).await.status.as_u16(), 200);
    assert_eq!(before, classify(&app, "two", image("rgb.png")).await.json());
}

/// The table of bad inputs, in Markdown.
fn table() -> String {
    let mut text = String::from(
        "# Bad inputs and their answers\n\nEach row is sent to a server by a test (`tests/it/bad_inputs.rs`), which also \
         writes this page. A body holds `error`, words for people, and `code`, one of [the table of \
         errors](reference/errors.md). Limits here are those of the test: 1 MiB a body, 2 megapixels, 8 images or tasks, 4 \
         rows at once.\n\n| input | route | status | code |\n|---|---|---|---|\n",
    );
    for Case { what, method, path, status, code, .. } in all() {
        let path = if path.len() > 60 { format!("{}...", &path[..60]) } else { path };
        writeln!(text, "| {what} | `{method} {path}` | {status} | `{code}` |").unwrap();
    }
    text
}

#[test]
fn the_documented_table_is_this_one() {
    let (file, table) = (repository().join("docs/bad-inputs.md"), table());
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&file, &table).unwrap();
    }
    let documented = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(documented == table, "{} is not this table: UPDATE_DOCS=1 rewrites it", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_every_common_way_to_write_an_image_is_taken() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    let app = server(&world).await.app();
    let png = image("rgb.png");
    let expected = classify(&app, "one", png.clone()).await.json();
    let plain = base64(&png);
    let lines = |end: &str| {
        plain.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + end).collect::<String>()
    };
    let url = plain.replace('+', "-").replace('/', "_");
    for text in [
        plain.clone(),
        lines("\n"),
        lines("\r\n"),
        url.clone(),
        url.trim_end_matches('=').to_owned(),
        plain.trim_end_matches('=').to_owned(),
        format!("data:image/png;base64,{plain}"),
        format!("data:;base64,{}", lines("\n")),
    ] {
        let body = json!({ "image": text }).to_string();
        for body in [body.clone(), format!("\u{feff}{body}")] {
            let answer = send(&app, case("", ONE, JSON, body, (200, "")).request()).await;
            assert_eq!(answer.json(), expected, "{:.60}", text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_parameter_that_is_not_known_is_told_those_that_are() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    let app = server(&world).await.app();
    let asked = case("", &format!("{ONE}?topk=1"), RAW, image("rgb.png"), INVALID);
    let error = send(&app, asked.request()).await.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("\"topk\"") && error.contains("top_k"), "{error}");
    let asked = case("", "/v1/tasks?top_k=1", RAW, "", INVALID).by("GET");
    let error = send(&app, asked.request()).await.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("after") && error.contains("limit"), "{error}");
}
