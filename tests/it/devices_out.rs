//! A device whose batches fail is taken out, its callers learn it at once, and it comes back when it answers.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mimi_server::engine::{Answer, Engine, EngineOptions, Error, Row, Share};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use crate::server::{World, classify, get, image};
use crate::support::TinyBackbone;

fn options(max_wait: Duration) -> EngineOptions {
    EngineOptions {
        max_batch: 4,
        max_wait,
        queue_limit: 16,
        workers: 2,
        max_programs: 4,
        prefix_memory: 0,
        bank_memory: 0,
    }
}

/// An engine of so many devices.
fn engine(tiny: &TinyBackbone, devices: usize, max_wait: Duration) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let others = (1..devices).map(|_| tiny.resident()).collect();
    let started = Engine::start_on((tiny.resident(), others), Arc::clone(&metrics), &options(max_wait));
    (started.unwrap(), metrics)
}

fn pack(tiny: &TinyBackbone) -> Arc<Pack> {
    tiny.pack(1, &tiny.config.sites().into_iter().map(|site| (site, 2)).collect::<Vec<_>>(), 3)
}

fn ask(engine: &Engine, tiny: &TinyBackbone, pack: &Arc<Pack>) -> Result<Answer, Error> {
    let permit = engine.admit(Share::EVERYBODY, 1)?.remove(0);
    engine
        .submit(Row::new("t".parse().unwrap(), tiny.pixels(1), Arc::clone(pack)), permit)
        .blocking_recv()
        .unwrap()
}

/// Waits for what is bound to come.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what} did not come");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_only_device_is_out_until_it_answers() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1, Duration::ZERO);
    let pack = pack(&tiny);
    let before = ask(&engine, &tiny, &pack).unwrap();
    engine.distrust(0);
    assert_eq!(metrics.engine.devices_out.get(), 1);
    assert!(!engine.answers());
    assert!(matches!(ask(&engine, &tiny, &pack), Err(Error::NoDevice)));
    assert!(matches!(engine.admit_beside(), Err(Error::NoDevice)));
    until("the device", || engine.answers());
    assert_eq!(metrics.engine.devices_out.get(), 0);
    assert_eq!(ask(&engine, &tiny, &pack).unwrap().logits, before.logits);
}

#[test]
fn rows_that_wait_for_the_last_device_are_answered_when_it_goes_out() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1, Duration::from_secs(60));
    let pack = pack(&tiny);
    let row = || Row::new("t".parse().unwrap(), tiny.pixels(1), Arc::clone(&pack));
    // The first row waits for the second, which is admitted and comes late.
    let mut permits = engine.admit(Share::EVERYBODY, 2).unwrap();
    let waiting = engine.submit(row(), permits.remove(0));
    until("the row", || metrics.engine.queue_rows.get() == 1);
    let started = Instant::now();
    engine.distrust(0);
    assert!(matches!(waiting.blocking_recv().unwrap(), Err(Error::NoDevice)));
    assert!(matches!(engine.submit(row(), permits.remove(0)).blocking_recv().unwrap(), Err(Error::NoDevice)));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(metrics.engine.queue_rows.get(), 0);
    until("the device", || engine.answers());
    ask(&engine, &tiny, &pack).unwrap();
    engine.distrust(0);
    // An engine without a device ends all the same.
    engine.stop();
}

#[test]
fn other_devices_go_on_and_one_that_missed_a_program_stays_out() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 2, Duration::ZERO);
    let pack = pack(&tiny);
    engine.distrust(1);
    assert!(engine.answers(), "the first device does");
    for _ in 0..8 {
        ask(&engine, &tiny, &pack).unwrap();
    }
    until("the device", || metrics.engine.devices_out.get() == 0);
    let late = tiny.pack(2, &[(tiny.config.sites()[2], 2)], 3);
    let mut made = engine.prepare(late.modules);
    // Again and again: it comes back within a second.
    while made.try_recv().is_err() {
        engine.distrust(1);
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_secs(3));
    assert_eq!(metrics.engine.devices_out.get(), 1, "it lacks a program");
    for _ in 0..8 {
        ask(&engine, &tiny, &late).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_that_no_device_answers() {
    let world = World::new();
    world.publish("one", &world.contents(1, 1));
    let server = world.server().await;
    let app = server.app();
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status, 200);
    let paths = ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"];
    for path in paths {
        // Again and again: it comes back within a second.
        server.engine().distrust(0);
        assert_eq!(get(&app, path).await.status, 503, "{path}");
    }
    server.engine().distrust(0);
    let said = classify(&app, "one", image("rgb.png")).await;
    assert_eq!((said.status.as_u16(), said.json()["code"].as_str()), (503, Some("not_ready")));
    tokio::time::timeout(Duration::from_secs(30), async {
        while !server.engine().answers() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    for path in paths {
        assert_eq!(get(&app, path).await.status, 200, "{path}");
    }
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status, 200);
}
