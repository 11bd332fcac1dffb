//! `server health`: for container health checks, which have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;

use super::proof::{Proof, seal};
use crate::cli::HealthArgs;

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

/// Asks `/readyz`.
pub fn run(args: &HealthArgs) -> Result<()> {
    // A server that listens everywhere is asked on this machine.
    let host = if args.host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { args.host };
    let address = SocketAddr::new(host, args.admin_port.unwrap_or(args.port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| address.to_string())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = match proof(args) {
        Some(proof) => {
            let name = name(args, host)?;
            let sealed = seal(stream, &proof, name).and_then(|stream| ask(stream, address));
            sealed.with_context(|| format!("{address} by TLS"))?
        }
        None => ask(stream, address).with_context(|| address.to_string())?,
    };
    let status = answer.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("{address} is not ready: {status}{}", hint(&answer));
    }
    println!("{address} is ready");
    Ok(())
}

/// What the server must show; none where it is asked in clear.
fn proof(args: &HealthArgs) -> Option<Proof> {
    if args.admin_port.is_some() && args.admin_plain {
        return None;
    }
    let authority = args.tls_ca.clone().map(Proof::Authority);
    authority.or_else(|| args.tls_cert.clone().map(Proof::Certificate))
}

fn name(args: &HealthArgs, host: IpAddr) -> Result<ServerName<'static>> {
    match &args.tls_name {
        Some(name) => ServerName::try_from(name.clone()).with_context(|| format!("--tls-name {name}")),
        None => Ok(ServerName::from(host)),
    }
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> Result<String> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER).read_to_end(&mut answer);
    // What came before a connection broke says more than that it broke.
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn hint(answer: &str) -> &'static str {
    if answer.contains("This port speaks TLS") { "; it speaks TLS: give --tls-cert or --tls-ca" } else { "" }
}
