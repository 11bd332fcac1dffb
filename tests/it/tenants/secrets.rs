//! Keys are in no log, trace, error, metric or file that the server writes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mimi_server::tenants::Scope;

use super::{Key, Written, world};
use crate::support;

/// Every file under a folder, as text.
fn texts(folder: &Path) -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn keys_are_in_nothing_that_the_server_writes() {
    let world = world();
    let keys = [Key::new("good"), Key::new("wrong"), Key::new("gone"), Key::new("pasted")];
    let [good, wrong, gone, pasted] = &keys;
    let all = [Scope::Infer, Scope::Read, Scope::Publish, Scope::Admin, Scope::Metrics];
    let text = format!("version = 1\n[tenants.a]\ntasks = [\"*\"]\n{}", good.lines("a", &all, ""));
    let file = Written::new(&(text.clone() + &gone.lines("a", &all, "")));
    let state = tempfile::tempdir().unwrap();
    let log = state.path().join("server.log");
    let written = std::fs::File::create(&log).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command =
        support::command(&["serve", "--log", "trace", "--tenants", file.path.to_str().unwrap()]);
    command.args(["--port", &port.to_string(), "--threads", "2", "--state", state.path().to_str().unwrap()]);
    command
        .arg("--adapters")
        .arg(world.adapters.path())
        .arg("--onnxruntime")
        .arg(support::runtime_options().library);
    command.arg("--models").arg(world.tiny.folder.parent().unwrap());
    command.arg("--backbone").arg(world.tiny.folder.file_name().unwrap());
    command.stdout(written.try_clone().unwrap()).stderr(written).stdin(Stdio::null());
    let mut server = command.spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    let start = Instant::now();
    while TcpStream::connect(&address).is_err()
        || !ask(&address, "GET /readyz HTTP/1.0\r\n\r\n").contains("200 OK")
    {
        assert!(start.elapsed() < Duration::from_secs(60), "the server does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answers = String::new();
    let paths = [
        "/v1/tasks",
        "/v1/tasks/a.one",
        "/v1/tasks/nobody",
        "/metrics",
        "/v1/folder",
        "/nowhere",
        "/v1/tasks?limit=x",
    ];
    for path in paths {
        for Key { secret, .. } in &keys {
            for header in [
                format!("Authorization: Bearer {secret}"),
                format!("x-api-key: {secret}"),
                format!("Authorization: Basic {secret}"),
                format!("x-mimi-{secret}: 1"),
            ] {
                answers += &ask(
                    &address,
                    &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n"),
                );
            }
        }
    }
    // The key itself where its digest belongs, and a key as the name of a field.
    for wrong in [
        format!("{text}[tenants.b.keys.oops]\nsha256 = \"{}\"\nscopes = [\"read\"]\n", pasted.secret),
        format!("{text}[tenants.b.keys.oops]\n{} = 1\n", pasted.secret),
        format!("{text}[tenants.b.keys.{}]\nscopes = []\n", pasted.secret),
        format!("{text}[tenants.b]\ntasks = {}\n", pasted.secret),
        format!("{text}[tenants.b]\nuses = [\"{}\"]\n", pasted.secret),
        format!("{text}[tenants.{}]\n", pasted.secret),
        format!("{text}[tenants.b]\nidentities = [\"{0}\", \"{0}\"]\n", pasted.secret),
        text.clone(),
    ] {
        file.replace(&wrong);
        std::thread::sleep(Duration::from_millis(500));
    }
    answers += &ask(&address, "GET /readyz HTTP/1.0\r\n\r\n");
    let _ = wrong;
    let killed =
        std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(killed.success() && server.wait().unwrap().success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("the file of tenants is wrong") && log.contains("was read again"), "{log}");
    let places = [("answers".into(), answers)].into_iter().chain(texts(state.path()));
    for (place, text) in places.chain(texts(world.adapters.path())) {
        for Key { secret, .. } in &keys {
            let hidden = secret.splitn(3, '_').nth(2).unwrap();
            assert!(!text.contains(hidden), "{} has the secret of {secret}", place.display());
        }
    }
}
