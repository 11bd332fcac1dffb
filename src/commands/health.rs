//! `server health`: for container health checks, which have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::HealthArgs;

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/readyz`.
pub fn run(args: &HealthArgs) -> Result<()> {
    // A server that listens everywhere is asked on this machine.
    let host = if args.host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { args.host };
    let address = SocketAddr::new(host, args.admin_port.unwrap_or(args.port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| address.to_string())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("{address} is not ready: {status}");
    }
    println!("{address} is ready");
    Ok(())
}
