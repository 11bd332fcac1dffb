//! Self-tests that were passed before.

use std::fs;

use mimi_server::reload::VERDICTS_FILE;
use mimi_server::serve::{self, Server};

use super::{Watching, eventually, tested, world};
use crate::server::{World, classify, image};

fn config(world: &World, state: &std::path::Path) -> serve::Config {
    let mut config = serve::Config { adapters: world.task("packs"), ..world.config() };
    config.reload.state = Some(state.to_owned());
    config
}

/// Self-tests a new server runs for its first answer.
async fn tests_of_a_start(config: serve::Config) -> u64 {
    let server = Server::build(config).await.unwrap();
    let answer = classify(&server.app(), "t", image("rgb.png")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.metrics().packs.self_tests.with_label_values(&["passed"]).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_repeats_no_self_test_that_the_same_bytes_have_passed() {
    let (world, state) = (world(), tempfile::tempdir().unwrap());
    world.publish("packs/t", &tested(&world, 1, 1));
    let config = config(&world, state.path());
    assert_eq!(tests_of_a_start(config.clone()).await, 1);
    assert_eq!(tests_of_a_start(config.clone()).await, 0);
    // What is kept is not believed of other bytes.
    world.publish("packs/t", &tested(&world, 2, 2));
    assert_eq!(tests_of_a_start(config.clone()).await, 1);
    // A file cut short by a full disk costs a self-test, no more.
    let file = state.path().join(VERDICTS_FILE);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() - 9]).unwrap();
    assert_eq!(tests_of_a_start(config.clone()).await, 1);
    assert_eq!(tests_of_a_start(config.clone()).await, 0);
    fs::write(&file, [0xff; 4096]).unwrap();
    assert_eq!(tests_of_a_start(config.clone()).await, 1);
    assert_eq!(tests_of_a_start(config).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_state_that_cannot_be_used_costs_self_tests_and_nothing_else() {
    let (world, state) = (world(), tempfile::tempdir().unwrap());
    world.publish("packs/t", &tested(&world, 1, 1));
    let file = state.path().join("a-file");
    fs::write(&file, "").unwrap();
    for _ in 0..2 {
        assert_eq!(tests_of_a_start(config(&world, &file)).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_not_tested_again() {
    let world = world();
    world.publish("packs/t", &tested(&world, 1, 1));
    let watching = Watching::over(world, |_| ()).await;
    let passed = watching.server.metrics().packs.self_tests.with_label_values(&["passed"]);
    assert_eq!(watching.label("t").await.0, 1);
    let away = watching.world.task("away");
    for _ in 0..3 {
        fs::rename(watching.packs.join("t"), &away).unwrap();
        eventually("the removal", || async { watching.status("t").await == 404 }).await;
        fs::rename(&away, watching.packs.join("t")).unwrap();
        eventually("the return", || async { watching.status("t").await == 200 }).await;
    }
    assert_eq!(passed.get(), 1);
    watching.world.publish("packs/t", &tested(&watching.world, 2, 2));
    eventually("another version", || async { watching.live("t").await == Some(2) }).await;
    assert_eq!(passed.get(), 2);
}
