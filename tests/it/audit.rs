//! Who did what: written, bounded, without secrets.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimi_server::audit::{Audit, AuditOptions, Event, FAMILY, Who};
use mimi_server::journal::{Found, files, lines};
use mimi_server::metrics::Metrics;
use mimi_server::serve::{self, Server};
use serde_json::Value;

use crate::journal::at;
use crate::server::{World, post};

fn start(folder: &Path, keep_bytes: u64) -> (Audit, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = AuditOptions { folder: Some(folder.to_owned()), keep_bytes, ..AuditOptions::default() };
    (Audit::start(&options, &metrics).unwrap(), metrics)
}

fn read(folder: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for (path, _) in files(folder, FAMILY).unwrap() {
        let each = |found: Found<'_>| match found {
            Found::Whole(line) => all.push(serde_json::from_slice(line).unwrap()),
            other => panic!("{other:?}"),
        };
        lines(&path, 0, each).unwrap();
    }
    all
}

fn who(address: &str) -> Who {
    Who {
        tenant: Some("acme".into()),
        key: Some("k1a2".into()),
        address: Some(address.parse::<IpAddr>().unwrap()),
    }
}

#[test]
fn every_event_is_a_line_with_who_and_when() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = start(dir.path(), 1 << 30);
    let text = String::from;
    let events = [
        Event::Published { task: text("acme.shoes"), version: 3 },
        Event::RefusedPublish { task: text("acme.shoes"), reason: text("not\na \"pack\"\u{7}") },
        Event::Confirm { unpublished: 2 },
        Event::TenantsReloaded { tenants: 7 },
        Event::TenantsRefused { reason: "é".repeat(10_000) },
        Event::KeyAdded { id: text("k2") },
        Event::KeyChanged { id: text("k2"), what: vec!["scopes"] },
        Event::KeyRevoked { id: text("k2") },
        Event::AuthenticationFailed { reason: "unknown_key" },
        Event::ScopeRefused { scope: "publish", task: Some(text("t")) },
    ];
    for event in &events {
        audit.record_at(at("2026-11-26T06:15:03.000001Z"), &who("10.0.0.7"), event);
    }
    audit.stop();
    let lines = read(dir.path());
    assert_eq!(lines.len(), events.len());
    for (i, (line, event)) in lines.iter().zip(&events).enumerate() {
        assert_eq!(
            (&line["event"], &line["time"]),
            (&event.name().into(), &"2026-11-26T06:15:03.000001Z".into())
        );
        let known = [&line["tenant"], &line["key"], &line["address"], &line["seq"], &line["v"]];
        assert_eq!(
            known,
            [&"acme".into(), &"k1a2".into(), &"10.0.0.7".into(), &Value::from(i + 1), &1.into()]
        );
    }
    assert_eq!((&lines[0]["task"], &lines[0]["version"]), (&"acme.shoes".into(), &3.into()));
    assert_eq!(lines[1]["reason"], "not\na \"pack\"\u{7}");
    assert_eq!(lines[4]["reason"].as_str().unwrap().chars().count(), 257);
}

#[test]
fn a_flood_of_wrong_keys_is_a_few_lines_and_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, metrics) = start(dir.path(), 1 << 30);
    let failed = Event::AuthenticationFailed { reason: "unknown_key" };
    let nobody = Who { tenant: None, key: None, ..who("10.0.0.7") };
    for _ in 0..100_000 {
        audit.record(&nobody, &failed);
    }
    audit.record(&who("10.0.0.8"), &Event::Confirm { unpublished: 0 });
    audit.stop();
    let lines = read(dir.path());
    let counted: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!((lines.len(), counted), (7, 100_001));
    let last = lines.last().unwrap();
    assert_eq!((&last["count"], &last["address"]), (&99_995.into(), &"10.0.0.7".into()));
    assert!(last["from"].is_string() && last["tenant"].is_null());
    assert_eq!(metrics.journal.journal_dropped.with_label_values(&[FAMILY]).get(), 0);
}

#[test]
fn a_key_that_repeats_itself_leaves_few_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, metrics) = start(dir.path(), 1 << 30);
    audit.record(&Who::default(), &Event::Published { task: "other".into(), version: 1 });
    for i in 0..20_000_u32 {
        let from = who(&std::net::Ipv4Addr::from_bits(i).to_string());
        audit.record(&from, &Event::ScopeRefused { scope: "admin", task: None });
        audit.record(&from, &Event::Published { task: "t".into(), version: 1 });
    }
    audit.stop();
    let lines = read(dir.path());
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!([of("published").len(), of("scope_refused").len()], [1 + 61, 6]);
    for (event, count) in [("scope_refused", 19_995), ("published", 19_940)] {
        let last = *of(event).last().unwrap();
        assert_eq!((&last["count"], &last["key"]), (&count.into(), &"k1a2".into()));
    }
    assert_eq!(metrics.journal.journal_dropped.with_label_values(&[FAMILY]).get(), 0);
}

#[test]
fn a_count_is_written_at_the_end_of_its_minute_although_nothing_more_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = start(dir.path(), 1 << 30);
    // Its minute has passed for the thread once the next event has begun another.
    const EVENTS: u64 = 500;
    for _ in 0..EVENTS {
        let past = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(120);
        audit.record_at(past, &who("::1"), &Event::ScopeRefused { scope: "admin", task: None });
    }
    let begun = Instant::now();
    while read(dir.path()).iter().all(|line| line["count"].is_null()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "no count");
        std::thread::sleep(Duration::from_millis(50));
    }
    audit.stop();
    // However many minutes the thread took them for, each is told or counted.
    let told: u64 = read(dir.path()).iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(told, EVENTS);
}

#[test]
fn what_does_not_fit_is_dropped_at_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, metrics) = start(dir.path(), 1 << 30);
    let event = Event::TenantsReloaded { tenants: 1 };
    let started = Instant::now();
    for _ in 0..30_000 {
        audit.record(&who("::1"), &event);
    }
    let each = started.elapsed() / 30_000;
    println!("{each:?} an event");
    assert!(each < Duration::from_millis(20));
    audit.stop();
    audit.record(&who("::1"), &event);
    let dropped = metrics.journal.journal_dropped.with_label_values(&[FAMILY]).get();
    let written = metrics.journal.journal_lines.with_label_values(&[FAMILY]).get();
    let lines = read(dir.path());
    let told: Vec<_> = lines.iter().filter(|line| line["event"] == "dropped").collect();
    let counted: u64 = told.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!((lines.len() as u64, written - told.len() as u64 + dropped), (written, 30_001));
    // Nobody was left to write of the last.
    assert_eq!(counted, dropped - 1);
}

#[test]
fn the_oldest_files_make_room() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..4 {
        let (audit, _) = start(dir.path(), 300 << 10);
        for i in 0..4000 {
            audit.record(&who("::1"), &Event::TenantsReloaded { tenants: i });
        }
        audit.stop();
    }
    let bytes: u64 =
        files(dir.path(), FAMILY).unwrap().iter().map(|(path, _)| path.metadata().unwrap().len()).sum();
    assert!(bytes < 700 << 10, "{bytes}");
    assert_eq!(read(dir.path()).last().unwrap()["tenants"], 3999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_what_it_published_and_what_it_refused() {
    let (world, logs) = (World::new(), tempfile::tempdir().unwrap());
    world.publish("one", &world.contents(1, 0));
    let audit = AuditOptions { folder: Some(logs.path().to_owned()), ..AuditOptions::default() };
    let server = Server::build(serve::Config { audit, ..world.config() }).await.unwrap();
    let app = server.app();
    post(&app, "/v1/tasks/one/reload", "text/plain", "").await;
    let version = world.publish("one", &world.contents(2, 1));
    std::fs::write(version.join("adapter_config.json"), "[]").unwrap();
    post(&app, "/v1/tasks/one/reload", "text/plain", "").await;
    post(&app, "/v1/folder/confirm", "text/plain", "").await;
    server.close_logs().await.unwrap();
    let lines = read(logs.path());
    let told: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["published", "refused_publish", "confirm"]);
    assert_eq!((&lines[0]["task"], &lines[0]["version"]), (&"one".into(), &1.into()));
    assert!(lines[1]["reason"].as_str().unwrap().starts_with("version 2: "));
}

#[test]
fn without_a_folder_nothing_is_written() {
    let audit = Audit::start(&AuditOptions::default(), &Metrics::new().unwrap()).unwrap();
    audit.record(&who("::1"), &Event::Confirm { unpublished: 0 });
    assert!(audit.state().is_none());
    audit.stop();
}
