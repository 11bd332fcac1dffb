//! The program as a process, serving a world's packs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{World, image};

/// The program, serving.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// Serves a world's packs, with these variables.
    pub fn start(world: &World, variables: &[(&str, &str)]) -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let folder = &world.tiny.folder;
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command
            .args(["--log", "warn", "serve", "--threads", "1", "--prefix-memory", "0", "--port"])
            .arg(address.port().to_string())
            .arg("--models")
            .arg(folder.parent().unwrap())
            .arg("--backbone")
            .arg(folder.file_name().unwrap())
            .arg("--adapters")
            .arg(world.adapters.path())
            .env("MIMI_STATE", "none")
            .stdout(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
        let child = command.envs(variables.iter().copied()).spawn().unwrap();
        let program = Self { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err()
            || !program.ask("GET", "/readyz", "", b"").starts_with("HTTP/1.1 200")
        {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        program
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        // What is refused early may not be taken to its end.
        let sent = stream.write_all(&[head.as_bytes(), body].concat());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        assert!(!answer.is_empty(), "{sent:?}, {read:?}");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn classify(&self, headers: &str) -> String {
        let answer = self.ask("POST", "/v1/tasks/one/classify", headers, &image("rgb.png"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Ends it as an operator does; what was kept of traces is sent before.
    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Whatever a test finds wrong, no process stays.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
