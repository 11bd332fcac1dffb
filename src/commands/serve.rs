//! `server serve`.

use anyhow::{Context, Result};
use mimi_server::{runtime, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::tune::tune;
use crate::cli::ServeArgs;

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<()> {
    runtime::share_heaps(args.heaps());
    let (address, mut config) = (args.address(), args.config());
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    threads.block_on(async {
        // Bound first: a taken port is told before half a gigabyte is read.
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
        let address = listener.local_addr()?;
        let sample = "tests/images/sample.png";
        if let Some(goal) = args.goal() {
            // Nothing else runs yet, so it may block.
            let best = tune(&args.runtime, goal)?;
            config.runtime.threads = best.threads;
            (config.engine.workers, config.engine.max_batch) = (best.workers, best.batch);
        }
        println!("Serving on http://{address} once ready. Try:");
        println!("  curl -s http://{address}/v1/tasks");
        println!(
            "  curl -s --data-binary @{sample} 'http://{address}/v1/tasks/openclipart/classify?top_k=3'"
        );
        println!(
            "  curl -s -F image=@{sample} -F tasks=openclipart,fashion-mnist http://{address}/v1/classify"
        );
        println!("  and in a browser: http://{address}/docs/");
        serve::run(config, listener, ended()?).await
    })
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
