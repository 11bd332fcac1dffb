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
        ..EngineOptions::default()
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

/// So that every run fails.
const EVER: u32 = u32::MAX;

#[test]
fn the_only_device_is_out_until_it_answers() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1, Duration::ZERO);
    let pack = pack(&tiny);
    let before = ask(&engine, &tiny, &pack).unwrap();
    engine.break_device(0, EVER);
    let mut failed = 0;
    while engine.answers() {
        match ask(&engine, &tiny, &pack) {
            Err(Error::Runtime(_)) => failed += 1,
            other => assert!(matches!(other, Err(Error::NoDevice)), "{other:?}"),
        }
        assert!(failed < 20, "it is not taken out");
    }
    assert!(failed >= 3, "{failed} batches failed");
    assert_eq!(metrics.engine.devices_out.get(), 1);
    sleep(Duration::from_secs(2));
    assert!(!engine.answers(), "trials fail");
    assert!(matches!(ask(&engine, &tiny, &pack), Err(Error::NoDevice)));
    assert!(matches!(engine.admit_beside(), Err(Error::NoDevice)));
    engine.break_device(0, 0);
    until("the device", || engine.answers());
    assert_eq!(metrics.engine.devices_out.get(), 0);
    assert_eq!(ask(&engine, &tiny, &pack).unwrap().logits, before.logits);
}

#[test]
fn batches_that_fail_take_no_device_out_that_runs_a_row() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1, Duration::ZERO);
    let pack = pack(&tiny);
    for failures in [2, 3, 3] {
        engine.break_device(0, failures);
        for _ in 0..failures {
            assert!(matches!(ask(&engine, &tiny, &pack), Err(Error::Runtime(_))));
        }
        ask(&engine, &tiny, &pack).unwrap();
        assert_eq!(metrics.engine.devices_out.get(), 0);
    }
}

#[test]
fn rows_that_wait_for_the_last_device_are_answered_when_it_goes_out() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1, Duration::from_secs(60));
    let pack = pack(&tiny);
    let row = || Row::new("t".parse().unwrap(), tiny.pixels(1), Arc::clone(&pack));
    engine.break_device(0, EVER);
    for _ in 0..2 {
        assert!(matches!(ask(&engine, &tiny, &pack), Err(Error::Runtime(_))));
    }
    // Four rows run at once and fail; the fifth waits for the sixth, which is admitted and comes late.
    let mut permits = engine.admit(Share::EVERYBODY, 6).unwrap();
    let started = Instant::now();
    let waiting: Vec<_> = permits.drain(..5).map(|permit| engine.submit(row(), permit)).collect();
    for (at, answer) in waiting.into_iter().enumerate() {
        let answer = answer.blocking_recv().unwrap();
        assert!(matches!(answer, Err(Error::Runtime(_) | Error::NoDevice)), "row {at}: {answer:?}");
    }
    until("the end", || !engine.answers());
    assert!(matches!(engine.submit(row(), permits.remove(0)).blocking_recv().unwrap(), Err(Error::NoDevice)));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(metrics.engine.queue_rows.get(), 0);
    // An engine without a device ends all the same.
    engine.stop();
}

#[test]
fn other_devices_go_on_and_one_that_missed_what_covers_rows_stays_out() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 2, Duration::ZERO);
    let pack = pack(&tiny);
    let out = || metrics.engine.devices_out.get();
    let lose = || {
        engine.break_device(1, EVER);
        until("the loss", || {
            assert!(!matches!(ask(&engine, &tiny, &pack), Err(Error::NoDevice)), "the first device is there");
            out() == 1
        });
    };
    lose();
    for _ in 0..8 {
        ask(&engine, &tiny, &pack).unwrap();
    }
    // A program that rows can do without keeps nobody out.
    let late = tiny.pack(2, &[(tiny.config.sites()[2], 2)], 3);
    engine.prepare(late.modules).blocking_recv().unwrap().unwrap();
    engine.break_device(1, 0);
    until("the device", || out() == 0);
    for _ in 0..8 {
        ask(&engine, &tiny, &late).unwrap();
    }
    lose();
    let other = crate::modules::pack(&tiny, crate::modules::kinds(&tiny.config)[2], 3);
    engine.cover(other.modules).blocking_recv().unwrap().unwrap();
    engine.break_device(1, 0);
    sleep(Duration::from_secs(3));
    assert_eq!(out(), 1, "it lacks a program");
    for _ in 0..8 {
        ask(&engine, &tiny, &other).unwrap();
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
    server.engine().break_device(0, EVER);
    // What was being prepared fails too, so that fewer than three requests may suffice.
    let out = (503, Some("not_ready".to_owned()));
    let mut failed = 0;
    loop {
        let said = classify(&app, "one", image("rgb.png")).await;
        let said = (said.status.as_u16(), said.json()["code"].as_str().map(str::to_owned));
        if said == out {
            break;
        }
        assert_eq!(said, (500, Some("inference_failed".to_owned())));
        failed += 1;
        assert!(failed < 20, "it is not taken out");
    }
    let settled = async |answers: bool| {
        while server.engine().answers() != answers {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled(false)).await.unwrap();
    for path in paths {
        assert_eq!(get(&app, path).await.status, 503, "{path}");
    }
    server.engine().break_device(0, 0);
    tokio::time::timeout(Duration::from_secs(30), settled(true)).await.unwrap();
    for path in paths {
        assert_eq!(get(&app, path).await.status, 200, "{path}");
    }
    assert_eq!(classify(&app, "one", image("rgb.png")).await.status, 200);
}
