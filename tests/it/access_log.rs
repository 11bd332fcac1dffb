//! The access log: whole lines, which say whose request it was and which tasks it asked for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use mimi_server::access::{AccessLog, AccessOptions, Entry, FAMILY, Learnt};
use mimi_server::journal::{Found, files, lines};
use mimi_server::metrics::Metrics;
use mimi_server::serve::Server;
use mimi_server::tenants::Scope;
use prost::Message;
use serde_json::{Value, json};

use crate::classify::base64;
use crate::grpc::hostile::{INFER, framed};
use crate::grpc::infer::encoded;
use crate::program::Program;
use crate::server::{World, image, send};
use crate::tenants::{Key, Written};

/// What is in a log.
#[derive(Default)]
struct Log {
    lines: Vec<Value>,
    /// Last lines without an end.
    torn: usize,
    files: usize,
}

impl Log {
    fn read(folder: &Path) -> Self {
        let mut log = Self::default();
        for (path, _) in files(folder, FAMILY).unwrap() {
            log.files += 1;
            let found = lines(&path, 0, |found| match found {
                Found::Whole(line) => log.lines.push(serde_json::from_slice(line).unwrap()),
                Found::Torn => log.torn += 1,
                Found::Long => panic!("a long line"),
            });
            found.unwrap();
        }
        log
    }
}

fn options(folder: &Path) -> AccessOptions {
    AccessOptions { folder: Some(folder.to_owned()), ..AccessOptions::default() }
}

/// Threads of two servers write to one folder at once: every line is there once, and whole.
#[test]
fn lines_of_many_threads_and_servers_are_whole() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let start = || AccessLog::start(&options(folder.path()), &Metrics::new().unwrap()).unwrap().unwrap();
    let servers = [start(), start()];
    std::thread::scope(|scope| {
        for (server, log) in servers.iter().enumerate() {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    (0..EACH).for_each(|at| log.record(entry(&format!("{server}-{thread}-{at}"), at)))
                });
            }
        }
    });
    servers.iter().for_each(AccessLog::stop);
    let Log { lines, torn, files } = Log::read(folder.path());
    assert!(servers.iter().all(|log| log.state().dropped() == 0));
    let mut ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((lines.len(), ids.len(), torn, files), (2 * THREADS * EACH, 2 * THREADS * EACH, 0, 2));
}

fn entry(id: &str, at: usize) -> Entry {
    Entry {
        at: jiff::Timestamp::now(),
        id: id.to_owned(),
        trace: None,
        method: "POST".into(),
        path: format!("/{}", "x".repeat(at)),
        status: Some(200),
        grpc: None,
        took: Duration::from_micros(at as u64),
        address: None,
        learnt: Learnt::default(),
    }
}

/// One request; nothing where the server is gone.
fn ask(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /v1/tasks/one HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    (stream.read_to_end(&mut Vec::new()).ok()? > 0).then_some(())
}

/// Two processes on one folder are killed under load: at most the last line of each is cut, and the next start mends it.
#[test]
fn a_kill_tears_at_most_the_last_line() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    world.publish("one", &world.contents(1, 1));
    let variables = [("MIMI_ACCESS_LOG", folder.path().to_str().unwrap())];
    let mut programs = [Program::start(&world, &variables), Program::start(&world, &variables)];
    let (addresses, over) = (programs.each_ref().map(|program| program.address), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for address in addresses.into_iter().cycle().take(4) {
            let over = &over;
            scope.spawn(move || while !over.load(Ordering::Relaxed) && ask(address).is_some() {});
        }
        std::thread::sleep(Duration::from_millis(700));
        programs.iter_mut().for_each(|program| program.child.kill().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    for program in &mut programs {
        program.child.wait().unwrap();
    }
    let before = Log::read(folder.path());
    assert!(before.lines.len() > 100 && before.files == 2, "{} lines", before.lines.len());
    Program::start(&world, &variables).end();
    let after = Log::read(folder.path());
    assert_eq!((after.torn, after.files), (0, 3));
    assert!(after.lines.len() > before.lines.len(), "{} of {}", after.lines.len(), before.lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_names_tenant_and_tasks() {
    let (world, folder, key) = (crate::tenants::world(), tempfile::tempdir().unwrap(), Key::new("door"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\nuses = [\"all.*\"]\n{}",
        key.lines("a", &[Scope::Infer, Scope::Read, Scope::Publish], "")
    ));
    let mut config = world.config();
    (config.tenants, config.access) = (Some(file.path.clone()), options(folder.path()));
    config.service.max_tasks = 32;
    let server = Server::build(config).await.unwrap();
    let app = server.app();
    let secret = key.secret.as_str();
    let names: Vec<String> = ["a.one", "all.one"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..18).map(|i| format!("a.x{i}")))
        .collect();
    let many = json!({"tasks": names, "image": base64(&image("rgb.png"))}).to_string().into_bytes();
    let picture = || image("rgb.png");
    let oip = |model: &str| {
        (format!("/v2/models/{model}/infer"), crate::oip::asked(&picture(), &[]).to_string().into_bytes())
    };
    let grpc = framed(&encoded("a.two", &[]).encode_to_vec(), false);
    let sent = [
        ("POST", "/v1/tasks/a.one/classify".to_owned(), secret, picture(), "image/png"),
        ("POST", "/v1/classify".into(), secret, many, "application/json"),
        ("POST", oip("a.two").0, secret, oip("a.two").1, "application/json"),
        ("POST", INFER.into(), secret, grpc, "application/grpc"),
        ("POST", "/v1/embed".into(), secret, picture(), "image/png"),
        ("POST", "/v1/tasks/b.one/classify".into(), secret, picture(), "image/png"),
        ("POST", "/v2/repository/models/a.one/load".into(), secret, Vec::new(), "application/json"),
        ("GET", "/v1/tasks".into(), secret, Vec::new(), ""),
        ("GET", "/v2/models/a.two".into(), secret, Vec::new(), ""),
        ("GET", "/v1/tasks/a.one".into(), "wrong", Vec::new(), ""),
    ];
    for (at, (method, path, key, body, kind)) in sent.iter().enumerate() {
        let request =
            Request::builder().method(*method).uri(path).header("authorization", format!("Bearer {key}"));
        let request = request
            .header("content-type", *kind)
            .header("x-request-id", format!("r{at}"))
            .header("te", "trailers");
        send(&app, request.body(Body::from(body.clone())).unwrap()).await;
    }
    let log = until(folder.path(), sent.len()).await;
    let of = |at: usize| log.lines.iter().find(|line| line["id"] == format!("r{at}").as_str()).unwrap();
    let tasks = |at: usize| of(at)["tasks"].clone();
    assert_eq!(
        [0, 2, 3, 5, 6, 8].map(tasks),
        ["a.one", "a.two", "a.two", "b.one", "a.one", "a.two"].map(|task| json!([task]))
    );
    assert_eq!((of(1)["tasks"].as_array().unwrap().len(), &of(1)["more_tasks"]), (16, &json!(4)));
    assert_eq!(of(1)["tasks"][1], "all.one");
    assert!([4, 7, 9].into_iter().all(|at| of(at).get("tasks").is_none()), "{:?}", log.lines);
    assert!((0..9).all(|at| of(at)["tenant"] == "a") && of(9).get("tenant").is_none(), "{:?}", log.lines);
    assert_eq!([0, 5, 9].map(|at| of(at)["status"].clone()), [200, 404, 401].map(Value::from));
    assert!(!format!("{:?}", log.lines).contains(secret));
}

/// The log, once it has so many lines.
async fn until(folder: &Path, count: usize) -> Arc<Log> {
    let started = Instant::now();
    loop {
        let log = Log::read(folder);
        if log.lines.len() >= count {
            return Arc::new(log);
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{} lines", log.lines.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
