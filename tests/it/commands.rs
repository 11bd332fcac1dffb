//! What commands print.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::support::TinyBackbone;

/// The signal of a write that nobody can read any more.
const SIGPIPE: i32 = 13;

#[test]
fn a_command_that_nobody_reads_ends_quietly() {
    let tiny = TinyBackbone::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    let done = command.arg("inspect").arg(&tiny.folder).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert_eq!(done.status.signal(), Some(SIGPIPE), "{:?}", done.status);
}
