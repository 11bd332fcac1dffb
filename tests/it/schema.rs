//! The description against the server: schemathesis asks what the description allows and more, and compares what comes.
//! `make schema` installs it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use mimi_server::serve;
use mimi_server::tenants::Scope;

use crate::server::{Running, World, start};
use crate::support;
use crate::tenants::{Key, Written};

/// What must hold of every answer: no status 5xx that is not expected, and what the description says of statuses, types,
/// bodies and headers.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";
/// Requests that are made up for each route, beside those that try each field's bounds.
const EXAMPLES: &str = "25";
/// Same requests at every run.
const SEED: &str = "13";
/// Longest run.
const LONGEST: Duration = Duration::from_secs(300);

/// The program; none where it was not installed.
fn program() -> Option<PathBuf> {
    let program = support::repository().join("tests/schema/.venv/bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    assert_ne!(std::env::var("REQUIRE_ASSETS").as_deref(), Ok("1"), "run `make schema`");
    eprintln!("*** SKIPPED: `make schema` installs schemathesis");
    None
}

/// Asks a server everything; `more` are lines of the configuration.
async fn ask(program: &Path, running: Running, key: Option<&str>, more: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        std::fs::read_to_string(support::repository().join("tests/schema/schemathesis.toml")).unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), format!("{more}{config}")).unwrap();
    let mut asked = tokio::process::Command::new(program);
    asked.current_dir(folder.path()).args(["--config-file", "schemathesis.toml", "run"]);
    asked.args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", SEED, "--no-color"]);
    asked.args(["--phases", "examples,coverage,fuzzing"]);
    asked.args(key.iter().flat_map(|key| ["-H".to_owned(), format!("Authorization: Bearer {key}")]));
    asked.arg(format!("http://{}/api-doc/openapi.json", running.address)).kill_on_drop(true);
    let done = tokio::time::timeout(LONGEST, asked.output()).await;
    let Output { status, stdout, stderr } = done.expect("it takes too long").unwrap();
    let told = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{told}");
    assert!(status.success(), "{told}");
    running.end().await.unwrap().unwrap();
}

/// Whoever may do everything, mostly of tasks that there are not.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_what_the_description_says() {
    let Some(program) = program() else { return };
    let world = World::new();
    world.publish("openclipart", &world.contents(1, 1));
    ask(&program, world.start().await, None, "").await;
}

/// A tenant that may not do everything, of a task that answers.
#[tokio::test(flavor = "multi_thread")]
async fn answers_to_tenants_are_what_the_description_says() {
    let Some(program) = program() else { return };
    let (world, key) = (World::new(), Key::new("schema"));
    world.publish("openclipart", &world.contents(1, 1));
    let own = key.lines("a", &[Scope::Infer, Scope::Read], "");
    let file = Written::new(&format!("version = 1\n[tenants.a]\ntasks = [\"*\"]\n{own}"));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let named = "[parameters]\ntask = \"openclipart\"\nmodel = \"openclipart\"\n\n";
    ask(&program, start(config, None).await, Some(&key.secret), named).await;
}
