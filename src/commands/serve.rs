//! `server serve`.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use mimi_server::runtime;
use mimi_server::serve::{self, Listeners};
use mimi_server::traces::Exporter;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::tune::tune;
use crate::cli::{ServeArgs, Traces};

/// Longest wait for work that outlives its request, once the server has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs, traces: Option<&Traces>, exporter: Option<&Exporter>) -> Result<()> {
    args.runtime.check_devices()?;
    runtime::share_heaps(args.heaps());
    serve::raise_descriptors();
    let (address, mut config) = (args.address(), args.config());
    config.tls = args.tls()?;
    config.engine.replayed_rows = args.replayed_rows()?;
    config.sampler = traces.map(|traces| traces.sampler);
    config.spans_lost = exporter.map(Exporter::lost).unwrap_or_default();
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = threads.block_on(async {
        // Bound first: a taken port is told before half a gigabyte is read.
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
        let admin = args.admin_address().map(listen_admin).transpose()?;
        let mut ended = std::pin::pin!(ended()?);
        let address = listener.local_addr()?;
        let sample = "tests/images/sample.png";
        if let Some(goal) = args.goal() {
            let best = tokio::select! {
                best = tune(&args.runtime, goal) => best?,
                () = &mut ended => return Ok(()),
            };
            config.runtime.threads = best.threads;
            (config.engine.workers, config.engine.max_batch) = (best.workers, best.batch);
        }
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        println!("Serving on {url} once ready. Try:");
        println!("  curl -s {url}/v1/tasks");
        println!("  curl -s --data-binary @{sample} '{url}/v1/tasks/openclipart/classify?top_k=3'");
        println!("  curl -s -F image=@{sample} -F tasks=openclipart,fashion-mnist {url}/v1/classify");
        println!("  and in a browser: {url}/");
        serve::run_with(config, Listeners { clients: listener, admin }, ended).await
    });
    // Whatever still decodes for clients that are gone does not keep the process.
    threads.shutdown_timeout(LAST_WORK);
    served
}

/// Bound before anything is read, as the clients' port is.
fn listen_admin(address: (IpAddr, u16)) -> Result<std::net::TcpListener> {
    let bound = std::net::TcpListener::bind(address);
    bound.with_context(|| format!("cannot listen on {}:{} for health and metrics", address.0, address.1))
}

/// Resolves at the first SIGTERM or SIGINT.
fn ended() -> Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
