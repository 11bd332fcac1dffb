//! The gRPC door comes past the same gate.

use std::time::{Duration, Instant};

use mimi_server::grpc::messages::*;
use mimi_server::serve;
use mimi_server::tenants::Scope;
use tonic::Code;

use super::access::Keys;
use super::{Key, Written, world};
use crate::grpc::infer::encoded;
use crate::grpc::{Client, client, status, with_key};
use crate::server::Running;

/// Methods about one task, and those about none.
const METHODS: [&str; 8] = ["ready", "metadata", "config", "statistics", "infer", "index", "load", "unload"];

async fn call(client: &mut Client, method: &str, task: &str, key: Option<&str>) -> Code {
    let (name, version) = (task.to_owned(), String::new());
    match method {
        "ready" => status(&client.model_ready(with_key(ModelReadyRequest { name, version }, key)).await),
        "metadata" => {
            status(&client.model_metadata(with_key(ModelMetadataRequest { name, version }, key)).await)
        }
        "config" => status(&client.model_config(with_key(ModelConfigRequest { name, version }, key)).await),
        "statistics" => {
            status(&client.model_statistics(with_key(ModelStatisticsRequest { name, version }, key)).await)
        }
        "infer" => status(&client.model_infer(with_key(encoded(task, &[]), key)).await),
        "index" => status(&client.repository_index(with_key(RepositoryIndexRequest::default(), key)).await),
        "load" => {
            let message = RepositoryModelLoadRequest { model_name: name, ..Default::default() };
            status(&client.repository_model_load(with_key(message, key)).await)
        }
        "unload" => {
            let message = RepositoryModelUnloadRequest { model_name: name, ..Default::default() };
            status(&client.repository_model_unload(with_key(message, key)).await)
        }
        method => panic!("{method}"),
    }
}

async fn start(file: &Written) -> (Running, crate::server::World) {
    let world = world();
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    (crate::server::start(config, None).await, world)
}

/// Method, scope, whose task, and the state of the key: one table, as for HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_is_one_table() {
    let keys = Keys::new();
    let file = Written::new(&keys.file());
    let (running, _world) = start(&file).await;
    let mut client = client(&running).await;
    let wrong = Key::new("infer");
    let mut seen = 0;
    let mut unequal = Vec::new();
    for method in METHODS {
        let needed = match method {
            "infer" => "infer",
            "load" | "unload" => "publish",
            _ => "read",
        };
        for (name, key) in [
            ("none", None),
            ("wrong", Some(&wrong)),
            ("over", Some(&keys.over)),
            ("infer", Some(&keys.infer)),
            ("read", Some(&keys.read)),
            ("publish", Some(&keys.publish)),
            ("all", Some(&keys.all)),
            ("operator", Some(&keys.operator)),
            ("scraper", Some(&keys.scraper)),
        ] {
            for (task, found) in
                [("a.one", true), ("all.one", true), ("b.one", false), ("a.none", false), ("x/../y", false)]
            {
                let expected = match name {
                    "none" | "wrong" | "over" => Code::Unauthenticated,
                    name if name != needed && name != "all" => Code::PermissionDenied,
                    _ if needed == "publish" && task == "all.one" => Code::PermissionDenied,
                    _ if found || method == "index" => Code::Ok,
                    _ => Code::NotFound,
                };
                let told = call(&mut client, method, task, key.map(|key| key.secret.as_str())).await;
                if told != expected {
                    unequal.push(format!("{method} {task} with {name}: {told:?}, expected {expected:?}"));
                }
                seen += 1;
            }
        }
    }
    assert!(unequal.is_empty() && seen > 200, "{} of {seen}: {unequal:#?}", unequal.len());
    running.end().await.unwrap().unwrap();
}

/// A task of another tenant is answered as one that there is not, word for word; health wants no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_task_is_an_unknown_one() {
    let keys = Keys::new();
    let file = Written::new(&keys.file());
    let (running, _world) = start(&file).await;
    let mut client = client(&running).await;
    let key = Some(keys.all.secret.as_str());
    let foreign = client.model_infer(with_key(encoded("b.one", &[]), key)).await.unwrap_err();
    let unknown = client.model_infer(with_key(encoded("b.two", &[]), key)).await.unwrap_err();
    assert_eq!(foreign.message().replace("b.one", "b.two"), unknown.message());
    let names = |status: &tonic::Status| -> Vec<String> {
        status.metadata().keys().map(|key| format!("{key:?}")).collect()
    };
    assert_eq!(names(&foreign), names(&unknown));
    let index = client.repository_index(with_key(RepositoryIndexRequest::default(), key)).await.unwrap();
    let known: Vec<String> = index.into_inner().models.into_iter().map(|model| model.name).collect();
    assert_eq!(known, ["a.one", "a.two", "all.one"]);
    client.server_live(ServerLiveRequest {}).await.unwrap();
    client.server_ready(ServerReadyRequest {}).await.unwrap();
    running.end().await.unwrap().unwrap();
}

/// A revoked key stops within a second on a connection that stays open; others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_on_an_open_connection() {
    let (kept, revoked) = (Key::new("kept"), Key::new("revoked"));
    let head = "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n";
    let line = |key: &Key| key.lines("a", &[Scope::Infer], "");
    let file = Written::new(&format!("{head}{}{}", line(&kept), line(&revoked)));
    let (running, _world) = start(&file).await;
    let mut client = client(&running).await;
    for key in [&kept, &revoked] {
        assert_eq!(call(&mut client, "infer", "a.one", Some(&key.secret)).await, Code::Ok);
    }
    file.replace(&format!("{head}{}", line(&kept)));
    let start = Instant::now();
    while call(&mut client, "infer", "a.one", Some(&revoked.secret)).await != Code::Unauthenticated {
        assert!(start.elapsed() < Duration::from_secs(1), "not refused in 1 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(call(&mut client, "infer", "a.one", Some(&kept.secret)).await, Code::Ok);
    running.end().await.unwrap().unwrap();
}

/// As by HTTP: a tenant learns what its own rows cost and nothing of what ran beside them.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_tell_tenants_nothing_of_their_neighbours() {
    let (keys, both) = (Keys::new(), Key::new("both"));
    let more =
        format!("[tenants.c]\nuses = [\"a.*\"]\n{}", both.lines("c", &[Scope::Infer, Scope::Admin], ""));
    let file = Written::new(&(keys.file() + &more));
    let (running, _world) = start(&file).await;
    let mut client = client(&running).await;
    let load = ["x-mimi-queue-us", "x-mimi-run-us", "x-mimi-batch-rows", "x-mimi-decode-us"];
    for (key, tells) in [(&keys.infer, false), (&both, true)] {
        let asked = with_key(encoded("a.one", &[]), Some(&key.secret));
        let answer = client.model_infer(asked).await.unwrap();
        let told = answer.metadata();
        assert!(told.contains_key("x-mimi-flops"));
        assert!(load.iter().all(|name| told.contains_key(*name) == tells), "{told:?}");
    }
    running.end().await.unwrap().unwrap();
}
