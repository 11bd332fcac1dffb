//! A real process, killed under load: the log tells at most what was answered, and lacks at most the last interval.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mimi_server::usage::By;

use super::summed;
use crate::server::{World, image};
use crate::support;

/// How often lines are written.
const FLUSH: Duration = Duration::from_millis(250);
/// How late a flush may come on a busy machine.
const LATE: Duration = Duration::from_millis(500);
/// Clients at once.
const CLIENTS: usize = 4;

/// An answer that was received.
struct Answered {
    at: Instant,
    flops: u64,
}

fn start(world: &World, logs: &Path, port: u16) -> Child {
    let folder = &world.tiny.folder;
    let mut command = support::command(&["serve", "--state", "none", "--threads", "1", "--log", "warn"]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(folder.parent().unwrap()).arg("--backbone").arg(folder.file_name().unwrap());
    command.arg("--adapters").arg(world.adapters.path()).args(["--port", &port.to_string()]);
    command.arg("--usage-log").arg(logs).args(["--usage-flush-ms", &FLUSH.as_millis().to_string()]);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// One answer's FLOPs; none when the connection ends before it is whole.
fn ask(client: &mut TcpStream, image: &[u8]) -> Option<u64> {
    let head = format!(
        "POST /v1/tasks/t/classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
        image.len()
    );
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(image).ok()?;
    let (mut text, mut part) = (String::new(), [0; 4096]);
    loop {
        let read = client.read(&mut part).ok().filter(|&read| read > 0)?;
        text.push_str(&String::from_utf8_lossy(&part[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let field = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok())
        };
        if body.len() as u64 >= field("content-length")? {
            return head.contains(" 200 ").then(|| field("x-mimi-flops")).flatten();
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let started = Instant::now();
    loop {
        if let Ok(mut client) = TcpStream::connect(("127.0.0.1", port))
            && ask(&mut client, &image("rgb.png")).is_some()
        {
            return client;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the server did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_server_loses_at_most_the_last_interval() {
    let (world, logs) = (World::new(), tempfile::tempdir().unwrap());
    world.publish("t", &world.contents(1, 0));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (answers, unseen, largest) = (Mutex::new(Vec::new()), AtomicU64::new(0), AtomicU64::new(0));
    let mut killed = Vec::new();
    for round in 0..4 {
        let mut server = start(&world, logs.path(), port);
        // Asks once itself: known to the log, not to the answers.
        drop(connect(port));
        unseen.fetch_add(1, Ordering::Relaxed);
        let ending = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    let png = image("rgb.png");
                    while let Some(flops) = ask(&mut client, &png) {
                        largest.fetch_max(flops, Ordering::Relaxed);
                        answers.lock().unwrap().push(Answered { at: Instant::now(), flops });
                        if ending.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(1100 + 130 * round));
            // A kill cannot be caught: nothing is flushed.
            killed.push(Instant::now());
            server.kill().unwrap();
            ending.store(true, Ordering::Relaxed);
            server.wait().unwrap();
        });
    }
    let bill = summed(logs.path(), By::Task);
    let answers = answers.into_inner().unwrap();
    let truth: u64 = answers.iter().map(|answer| answer.flops).sum();
    // Answers on their way when the server was killed were charged and never read.
    let unseen = unseen.into_inner() + (killed.len() * CLIENTS) as u64;
    let most = truth + unseen * largest.into_inner();
    let is_late =
        |answer: &&Answered| killed.iter().any(|at| answer.at <= *at && *at - answer.at <= FLUSH + LATE);
    let late: u64 = answers.iter().filter(is_late).map(|answer| answer.flops).sum();
    println!("answered {truth}, logged {}, in the last intervals {late}", bill.all.flops);
    assert!(answers.len() > 100, "{} answers", answers.len());
    assert!(bill.all.flops <= most, "{} logged, at most {most} answered", bill.all.flops);
    assert!(bill.all.flops + late >= truth, "{} logged of {truth}, {late} late", bill.all.flops);
    assert!(late < truth, "every answer was late: nothing is shown");
    assert_eq!(bill.torn, 0);
}
