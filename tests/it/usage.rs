//! What tenants used: counted, written, summed, after any crash.

/// `server usage`.
mod command;
/// Random interleavings of charging, flushing, failing, crashing and starting again.
mod interleaved;
/// A real process, killed under load.
mod killed;
/// Series by tenant.
mod labels;
/// What a request is charged.
mod requests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mimi_server::journal::{Boot, Medium, SystemMedium, files};
use mimi_server::metrics::Metrics;
use mimi_server::usage::{Bill, Billed, By, Charge, FAMILY, Keeper, Log, Range, Usage, UsageOptions, bill};

use crate::journal::{at, ms};

/// Everything there is.
const ALL: Range = Range { from: Timestamp::MIN, to: Timestamp::MAX };

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

fn log(folder: &Path, medium: impl Medium + 'static) -> Log {
    Log {
        folder: folder.to_owned(),
        boot: Boot::random(),
        medium: Box::new(medium),
        file_bytes: 4096,
        sync: ms(1000),
        keep_days: None,
    }
}

fn keeper(folder: &Path, now: Timestamp) -> Keeper {
    Keeper::open(Some(log(folder, SystemMedium)), 100, &metrics(), now).unwrap()
}

fn billed(tenant: &str, task: &str) -> Billed {
    let task = Some(task).filter(|task| !task.is_empty());
    Billed { tenant: tenant.into(), key: Some("k1".into()), task: task.map(Into::into) }
}

fn flops(flops: u64) -> Charge {
    Charge { requests: 1, flops, code: Some("ok"), ..Charge::default() }
}

fn summed(folder: &Path, by: By) -> Bill {
    let bill = bill(folder, ALL, by).unwrap();
    assert_eq!((bill.bad, &bill.problems), (0, &Vec::new()));
    bill
}

#[test]
fn every_field_comes_back_as_it_was_charged() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), at("2026-11-26T06:00:00Z"));
    let device = Duration::from_nanos(1_500_499);
    let charge = Charge {
        requests: 1,
        images: 2,
        rows: 3,
        flops: 4,
        device,
        bytes_in: 6,
        bytes_out: 7,
        refused: 8,
        code: None,
    };
    for _ in 0..2 {
        keeper.charge(&billed("acme", "acme.shoes"), &charge);
    }
    keeper.tick(at("2026-11-26T06:00:01Z"));
    let (path, _) = files(dir.path(), FAMILY).unwrap().remove(0);
    let text = std::fs::read_to_string(path).unwrap();
    let boot = text.split("\"boot\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"v\":1,\"boot\":\"{boot}\",\"seq\":1,\"from\":\"2026-11-26T06:00:00.000000Z\",\
             \"to\":\"2026-11-26T06:00:01.000000Z\",\"tenant\":\"acme\",\"key\":\"k1\",\"task\":\"acme.shoes\",\
             \"requests\":2,\"images\":4,\"rows\":6,\"flops\":8,\"device_us\":3000,\"bytes_in\":12,\"bytes_out\":14,\
             \"refused\":16}}\n"
        )
    );
    assert_eq!(summed(dir.path(), By::Tenant).all.numbers(), [2, 4, 6, 8, 3000, 12, 14, 16]);
}

#[test]
fn two_servers_share_a_folder_and_know_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let start = at("2026-11-26T06:00:00Z");
    let mut servers = [keeper(dir.path(), start), keeper(dir.path(), start)];
    let mut now = start;
    for round in 0..40 {
        now += ms(500);
        for (i, server) in servers.iter_mut().enumerate() {
            server.charge(&billed("acme", &format!("t{}", round % 3)), &flops(1 + 1000 * i as u64));
            server.tick(now);
        }
    }
    let all = summed(dir.path(), By::Task).all;
    assert_eq!((all.requests, all.flops), (80, 40 * 1002));
    for server in &mut servers {
        server.tick(now + ms(20_000));
    }
    for server in &servers {
        let month = server.of("acme", now).this_month;
        assert_eq!(month.values().map(|sum| sum.flops).sum::<u64>(), 40 * 1002);
    }
    for server in &mut servers {
        server.finish(now + ms(30_000));
    }
    let third = keeper(dir.path(), now + ms(40_000));
    assert_eq!(third.of("acme", now).this_month.values().map(|sum| sum.flops).sum::<u64>(), 40 * 1002);
    assert_eq!(third.of("acme", now).since_start.flops, 0);
}

#[test]
fn a_month_ends_at_midnight_utc() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = keeper(dir.path(), at("2026-11-30T23:59:59Z"));
    server.charge(&billed("acme", "t"), &flops(1));
    server.tick(at("2026-12-01T00:00:00Z"));
    server.charge(&billed("acme", "t"), &flops(10));
    server.tick(at("2026-12-01T00:00:01Z"));
    let of = |from: &str, to: &str| {
        bill(dir.path(), Range { from: at(from), to: at(to) }, By::Tenant).unwrap().all.flops
    };
    assert_eq!(of("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"), 1);
    assert_eq!(of("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"), 10);
    let used = server.of("acme", at("2026-12-01T00:00:02Z"));
    assert_eq!([&used.today, &used.this_month, &used.last_month].map(|tasks| tasks["t"].flops), [10, 10, 1]);
}

#[test]
fn ten_thousand_tenants_are_charged_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Some(dir.path().to_owned());
    let usage = Usage::start(&UsageOptions { folder, ..UsageOptions::default() }, &metrics()).unwrap();
    let who: Vec<Billed> = (0..10_000).map(|i| billed(&format!("tenant-{i}"), "task")).collect();
    for round in 0..3 {
        let started = Instant::now();
        for who in &who {
            usage.charge(who, &flops(1));
        }
        let each = started.elapsed() / who.len() as u32;
        println!("round {round}: {each:?} a charge, 10,000 tenants");
    }
    let started = Instant::now();
    for _ in 0..100_000 {
        usage.charge(&who[7], &flops(1));
    }
    println!("{:?} a charge, one tenant", started.elapsed() / 100_000);
    usage.stop();
    let bill = summed(dir.path(), By::Tenant);
    assert_eq!((bill.rows.len(), bill.all.flops), (10_000, 130_000));
}

#[test]
fn tasks_without_end_are_counted_together_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = crate::journal::Disk::default();
    let start = at("2026-11-26T06:00:00Z");
    let mut server = Keeper::open(Some(log(dir.path(), disk.clone())), 100, &metrics(), start).unwrap();
    disk.set(|faults| faults.room = Some(0));
    server.charge(&billed("acme", "t"), &flops(1));
    server.tick(start + ms(1000));
    for i in 0..100_000 {
        server.charge(&billed("acme", &format!("t{i}")), &flops(1));
        if i % 1000 == 0 {
            server.tick(start + ms(1000 + i));
        }
    }
    disk.set(|faults| faults.room = None);
    server.tick(start + ms(200_000));
    server.tick(start + ms(201_000));
    let bill = summed(dir.path(), By::Task);
    assert_eq!(bill.all.flops, 100_001);
    assert!(bill.rows.len() < 17_000 && bill.rows.keys().any(|row| row.part.as_deref() == Some("*")));
}
