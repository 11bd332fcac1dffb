//! `server usage`.

use std::io::Write;
use std::path::Path;
use std::process::Output;

use mimi_server::journal::files;
use mimi_server::usage::{FAMILY, Keeper};
use serde_json::Value;

use super::{billed, flops, keeper, log, metrics};
use crate::journal::{Disk, at, ms};
use crate::support;

fn usage(folder: &Path, args: &[&str]) -> Output {
    support::command(&["usage", "--usage-log"]).arg(folder).args(args).output().unwrap()
}

fn out(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn err(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Two tenants over the end of a month.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut server = keeper(dir.path(), at("2026-11-30T23:59:58Z"));
    for (second, cost) in
        [("2026-11-30T23:59:59Z", 1_234_567), ("2026-12-01T00:00:00Z", 20), ("2026-12-01T00:00:01Z", 300)]
    {
        server.charge(&billed("acme", "acme.shoes"), &flops(cost));
        server.charge(&billed("acme", "acme.bags"), &flops(cost));
        server.charge(&billed("zeta", ""), &flops(1));
        server.tick(at(second));
    }
    server.finish(at("2026-12-01T00:00:02Z"));
    dir
}

#[test]
fn a_month_is_summed_by_tenant_task_key_and_day() {
    let dir = filled();
    assert_eq!(
        out(&usage(dir.path(), &["--month", "2026-11"])),
        "tenant  requests  images  rows      flops  device_us  bytes_in  bytes_out  refused\n\
         acme           4       0     0  2,469,174          0         0          0        0\n\
         zeta           2       0     0          2          0         0          0        0\n\
         all            6       0     0  2,469,176          0         0          0        0\n"
    );
    assert_eq!(
        out(&usage(dir.path(), &["--month", "2026-12", "--by", "task", "--csv"])),
        "tenant,task,requests,images,rows,flops,device_us,bytes_in,bytes_out,refused\n\
         acme,acme.bags,1,0,0,300,0,0,0,0\nacme,acme.shoes,1,0,0,300,0,0,0,0\nzeta,,1,0,0,1,0,0,0,0\n"
    );
    let read = |args: &[&str]| serde_json::from_str::<Value>(&out(&usage(dir.path(), args))).unwrap();
    let by_day = read(&["--by", "day", "--json"]);
    assert_eq!(by_day["all"]["flops"], 2 * (1_234_567 + 20 + 300) + 3);
    assert_eq!(
        (by_day["rows"].as_array().unwrap().len(), &by_day["rows"][1]["day"]),
        (4, &"2026-12-01".into())
    );
    let by_key = read(&["--by", "key", "--json", "--from", "2026-11-30", "--to", "2026-11-30T23:59:59Z"]);
    assert_eq!((&by_key["rows"][0]["key"], &by_key["all"]["requests"]), (&"k1".into(), &3.into()));
}

#[test]
fn times_that_cannot_be_read_are_refused_by_name() {
    let dir = filled();
    for (args, told) in [
        (&["--month", "2026-13"][..], "--month 2026-13"),
        (&["--month", "26-11"], "--month 26-11"),
        (&["--from", "yesterday"], "'yesterday' for '--from <TIME>'"),
        (&["--from", "2026-12-01", "--to", "2026-12-01"], "is not before"),
        (&["--month", "2026-11", "--from", "2026-11-01"], "cannot be used with"),
    ] {
        let done = usage(dir.path(), args);
        assert!(!done.status.success() && err(&done).contains(told), "{args:?}: {}", err(&done));
    }
    let done = usage(&dir.path().join("nowhere"), &[]);
    assert!(!done.status.success() && err(&done).contains("nowhere"), "{}", err(&done));
}

#[test]
fn bad_lines_are_named_and_fail_only_a_strict_run() {
    let dir = filled();
    let (path, _) = files(dir.path(), FAMILY).unwrap().remove(0);
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines = whole.lines().count();
    let other = whole.lines().next().unwrap().replace("\"v\":1", "\"v\":2");
    let more = format!("nonsense\n{{}}\n\u{0}\u{0}\n{other}\n{}\n{{\"half", "x".repeat(70_000));
    std::fs::File::options().append(true).open(&path).unwrap().write_all(more.as_bytes()).unwrap();
    let done = usage(dir.path(), &["--month", "2026-11", "--json"]);
    let read: Value = serde_json::from_str(&out(&done)).unwrap();
    assert_eq!(
        (&read["all"]["flops"], &read["bad"], &read["torn"]),
        (&2_469_176.into(), &5.into(), &1.into())
    );
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    for number in lines + 1..=lines + 5 {
        assert!(err(&done).contains(&format!("{name}:{number}: ")), "{}", err(&done));
    }
    assert!(err(&done).contains("version 2 of the format"), "{}", err(&done));
    let strict = usage(dir.path(), &["--month", "2026-11", "--strict"]);
    assert_eq!(strict.status.code(), Some(1));
    assert!(err(&strict).contains("5 line(s)"), "{}", err(&strict));
}

#[test]
fn a_line_that_is_there_twice_counts_once() {
    let (dir, disk, start) = (tempfile::tempdir().unwrap(), Disk::default(), at("2026-11-26T06:00:00Z"));
    let mut server = Keeper::open(Some(log(dir.path(), disk.clone())), 1, &metrics(), start).unwrap();
    server.charge(&billed("acme", "t"), &flops(7));
    server.tick(start + ms(10));
    disk.set(|faults| faults.sync = true);
    (2..7).for_each(|second| server.tick(start + ms(1100 * second)));
    disk.set(|faults| faults.sync = false);
    server.tick(start + ms(9000));
    let done = usage(dir.path(), &["--json"]);
    let read: Value = serde_json::from_str(&out(&done)).unwrap();
    assert_eq!((&read["all"]["flops"], &read["repeated"], &read["files"]), (&7.into(), &1.into(), &2.into()));
    assert!(err(&done).contains("1 line(s) were there twice"), "{}", err(&done));
    // A copy of a file in the same folder, as a careless backup leaves.
    let (path, _) = files(dir.path(), FAMILY).unwrap().remove(0);
    let copy = path.file_name().unwrap().to_string_lossy().replace("-000001.", "-000009.");
    std::fs::copy(&path, dir.path().join(copy)).unwrap();
    let read: Value = serde_json::from_str(&out(&usage(dir.path(), &["--json"]))).unwrap();
    assert_eq!((&read["all"]["flops"], &read["repeated"]), (&7.into(), &2.into()));
}
