//! Tenants: finding a caller among ten thousand, and reading their file.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to report")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use divan::{Bencher, black_box};
use jiff::Timestamp;
use mimi_server::metrics::Metrics;
use mimi_server::tenants::{Credentials, Secret, Tenants};

const TENANTS: usize = 10_000;

fn main() {
    divan::main();
}

/// A file of tenants, and one of its keys.
struct World {
    path: PathBuf,
    key: String,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tenants.toml");
    let (mut text, mut key) = ("version = 1\n".to_owned(), String::new());
    for number in 0..TENANTS {
        let secret = Secret::random(format!("k{number:05}").parse().unwrap()).unwrap();
        writeln!(text, "[tenants.t{number}]\ntasks = [\"t{number}.*\", \"s{number}\"]\nweight = 2").unwrap();
        writeln!(text, "quota = {{ images_per_second = 50.0, gflops_per_second = 100.0 }}").unwrap();
        writeln!(text, "[tenants.t{number}.keys.{}]\nsha256 = \"{}\"", secret.id(), secret.digest()).unwrap();
        writeln!(text, "scopes = [\"infer\", \"read\"]\nexpires = 2999-01-01T00:00:00Z\nnote = \"CI\"")
            .unwrap();
        if number == TENANTS / 2 {
            key = secret.reveal().to_owned();
        }
    }
    std::fs::write(&path, text).unwrap();
    World { path, key, _folder: folder }
}

/// Bar: at most 2 µs.
#[divan::bench]
fn a_caller_among_ten_thousand(bencher: Bencher<'_, '_>) {
    let world = world();
    let tenants = Tenants::read(&world.path, Arc::new(Metrics::new().unwrap())).unwrap();
    let shown = Credentials { key: Some(&world.key), ..Credentials::default() };
    let task = "t5000.shoes".parse().unwrap();
    bencher.bench(|| {
        let known = tenants.authenticate(black_box(&shown), Timestamp::now()).unwrap();
        known.caller.may_use(black_box(&task))
    });
}

/// Bar: at most 1 s.
#[divan::bench(sample_count = 5)]
fn reading_ten_thousand(bencher: Bencher<'_, '_>) {
    let world = world();
    bencher.bench(|| Tenants::read(black_box(&world.path), Arc::new(Metrics::new().unwrap())).unwrap());
}
