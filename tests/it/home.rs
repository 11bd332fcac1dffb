//! The page for people, and the two answers that it is made from: `GET /v1/server`, and how rows ran.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use mimi_server::serve::Server;
use mimi_server::tenants::Scope;
use serde_json::{Value, json};

use crate::classify::base64;
use crate::server::{Answer, World, get, image, post, send};
use crate::tenants::{Key, Written};

fn world() -> World {
    let world = World::new();
    for (seed, name) in [(1, "one"), (2, "two")] {
        world.publish(name, &world.contents(seed, 1));
    }
    world
}

async fn asked(app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(app, request.body(Body::empty()).unwrap()).await
}

/// The files that the page names: `ui/app.js` in the page, `./dom.js` in a module.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split(['"', '\'']);
    let name =
        |text: &str| text.strip_prefix("ui/").or(text.strip_prefix("./")).map(|name| format!("/ui/{name}"));
    quoted.filter_map(name).collect()
}

/// The page and all that it names are there, and may load nothing from elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_and_asks_nobody_else() {
    let app = world().server().await.app();
    let mut seen = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = seen.get(next).cloned() {
        next += 1;
        let answer = get(&app, &path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let text = answer.text();
        let addresses = text.matches("http").count() - text.matches("http://www.w3.org/2000/svg").count();
        assert!(addresses == 0 || !text.contains("://"), "{path} names an address elsewhere");
        for file in ["innerHTML", "insertAdjacentHTML", "eval(", "document.write"] {
            assert!(!text.contains(file), "{path}: {file}");
        }
        let new: Vec<String> = named(&text).into_iter().filter(|file| !seen.contains(file)).collect();
        seen.extend(new);
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_keeps_files_until_they_change() {
    let app = world().server().await.app();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/page.css", "text/css; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        let first = get(&app, path).await;
        assert_eq!(
            (first.headers["content-type"].to_str().unwrap(), first.body.is_empty()),
            (content_type, false)
        );
        let tag = first.headers["etag"].to_str().unwrap();
        for kept in [tag, "*", &format!("\"other\", W/{tag}")] {
            let again = asked(&app, "GET", path, &[("if-none-match", kept)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {kept}");
            assert_eq!(again.headers["etag"], tag);
        }
        assert_eq!(asked(&app, "GET", path, &[("if-none-match", "\"other\"")]).await.status, 200);
        let head = asked(&app, "HEAD", path, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(asked(&app, "POST", path, &[]).await.status, 405);
    }
    for path in ["/ui/", "/ui/nothing.js", "/ui/..%2fmod.rs", "/ui/a/b", "/ui/%ff"] {
        assert!([400, 404].contains(&get(&app, path).await.status.as_u16()), "{path}");
    }
}

fn ran(run: &Value, name: &str) -> u64 {
    run[name].as_u64().unwrap()
}

/// How rows ran explains what they cost, to the last operation; an image that comes again finds its blocks kept.
#[tokio::test(flavor = "multi_thread")]
async fn how_rows_ran_explains_what_they_cost() {
    let world = world();
    let mut config = world.config();
    config.engine.prefix_memory = 1 << 20;
    config.service.keeps_prefixes = true;
    let app = Server::build(config).await.unwrap().app();
    let blocks = get(&app, "/v1/server").await.json()["backbone"]["blocks"].as_array().unwrap().clone();
    let below = |count: u64| blocks.iter().take(count as usize).map(|block| ran(block, "flops")).sum::<u64>();
    let body = json!({"tasks": ["one", "missing", "two"], "image": base64(&image("rgb.png"))}).to_string();
    let mut was_kept = false;
    for _ in 0..200 {
        let answer = post(&app, "/v1/classify?runs=true", "application/json", body.clone()).await;
        let total: u64 = answer.headers["x-mimi-flops"].to_str().unwrap().parse().unwrap();
        let runs = answer.json()["runs"].as_array().unwrap().clone();
        assert_eq!((&runs[0]["task"], &runs[1]["task"], runs.len()), (&json!("one"), &json!("two"), 2));
        assert_eq!(runs.iter().map(|run| ran(run, "flops")).sum::<u64>(), total);
        let mut paid_below = 0;
        for run in &runs {
            let alone = ran(run, "whole_flops") - below(ran(run, "shared_blocks"));
            assert_eq!(ran(run, "shared_blocks") == 0, ran(run, "shared_rows") == 0, "{run}");
            paid_below += ran(run, "flops") - alone;
            assert!(run["kept"] == false || ran(run, "flops") == alone, "{run}");
        }
        let run = &runs[0];
        let once = if run["kept"] == true { 0 } else { below(ran(run, "shared_blocks")) };
        assert_eq!(paid_below, once, "{runs:?}");
        was_kept = runs.iter().all(|run| run["kept"] == true);
        if was_kept {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(was_kept, "an image that came again was never found");
}

/// Tenants see what they used themselves; who may know of others' rows sees the whole server's load.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_use_and_an_operator_the_load() {
    let world = world();
    let open = world.server().await.app();
    let told = get(&open, "/v1/server").await.json();
    assert_eq!(told["backbone"]["blocks"].as_array().unwrap().len(), world.tiny.config.depth());
    assert!(told["load"]["waiting_rows"].is_u64() && told["build"].is_string(), "{told}");
    let (one, both) = (Key::new("reader"), Key::new("operator"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"one\"]\n{}[tenants.b]\ntasks = [\"two\"]\n{}",
        one.lines("a", &[Scope::Infer, Scope::Read], ""),
        both.lines("b", &[Scope::Infer, Scope::Read, Scope::Admin], "")
    ));
    let app = crate::tenants::server(&world, &file).await.app();
    for path in ["/", "/ui/app.js"] {
        assert_eq!(get(&app, path).await.status, 200);
    }
    let key = |key: &Key| format!("Bearer {}", key.secret);
    for (task, key, tells) in [("one", key(&one), false), ("two", key(&both), true)] {
        let headers = [("authorization", key.as_str())];
        let mut request = Request::post(format!("/v1/tasks/{task}/classify")).header("authorization", &key);
        request = request.header("content-type", "image/png");
        assert_eq!(send(&app, request.body(image("rgb.png").into()).unwrap()).await.status, 200);
        let told = asked(&app, "GET", "/v1/server", &headers).await.json();
        assert_eq!((told["used"]["rows"].as_u64(), told.get("load").is_some()), (Some(1), tells), "{told}");
    }
    assert_eq!(get(&app, "/v1/server").await.status, 401);
}
