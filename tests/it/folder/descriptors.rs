//! A whole server whose descriptors are used up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PATIENCE, publish, world};
use crate::server::World;
use crate::support;

/// Descriptors the server may have.
const DESCRIPTORS: usize = 64;

struct Started {
    child: Child,
    port: u16,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(world: &World) -> Started {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let backbone = &world.tiny.folder;
    let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_server"), "serve", "--state", "none"]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command
        .arg("--models")
        .arg(backbone.parent().unwrap())
        .arg("--backbone")
        .arg(backbone.file_name().unwrap());
    command.arg("--adapters").arg(world.task("packs")).args(["--port", &port.to_string(), "--threads", "1"]);
    let log = std::fs::File::create(world.task("log")).unwrap();
    let child = command.args(["--poll-ms", "50", "--scan-secs", "1"]).stdout(Stdio::null()).stderr(log);
    Started { child: child.spawn().unwrap(), port }
}

/// One answer over a connection that stays open; none when it cannot be had.
fn get(client: &mut TcpStream, path: &str) -> Option<String> {
    client.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
    let mut bytes = [0; 8192];
    let read = client.read(&mut bytes).ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&bytes[..read]).into_owned())
}

fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).ok()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn f1_descriptors_used_up_lose_no_task() {
    let world = world();
    publish(&world, "t", 1);
    let server = start(&world);
    let shown =
        |client: &mut TcpStream| get(client, "/v1/tasks").filter(|text| text.contains("\"task\":\"t\""));
    until("the start", || shown(&mut connect(server.port)?));
    let descriptors = format!("/proc/{}/fd", server.child.id());
    let used = || std::fs::read_dir(&descriptors).map_or(0, Iterator::count);
    let mut clients = Vec::new();
    // Some servers take fewer connections than there are descriptors: then nothing is used up, and that is as good.
    while used() < DESCRIPTORS - 1 && clients.len() < 2 * DESCRIPTORS {
        let Some(mut client) = connect(server.port) else { break };
        if get(&mut client, "/healthz").is_none() {
            break;
        }
        clients.push(client);
    }
    // As long as some looks at everything take.
    std::thread::sleep(Duration::from_secs(4));
    drop(clients);
    until("an answer", || shown(&mut connect(server.port)?));
    let log = std::fs::read_to_string(world.task("log")).unwrap();
    assert!(!log.contains("unpublished"), "{log}");
}
