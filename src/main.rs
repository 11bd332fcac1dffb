//! The `server` binary: parse, then do what was asked.

mod cli;
mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mimi_server::traces::{self, Exporter};
use mimi_server::{errors, runtime};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

use cli::{Cli, Command, Traces};

fn main() -> ExitCode {
    let cli = match cli::parse(&cli::typed()) {
        Ok(cli) => cli,
        Err(refusal) => refusal.exit(),
    };
    if !matches!(cli.command, Command::Serve(_)) {
        // Whoever reads what is printed may stop early (`| head`); a server's sockets must outlive theirs.
        sigpipe::reset();
    }
    match ready(&cli).and_then(|ready| run(cli.command, ready)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", errors::once(&*error));
            ExitCode::FAILURE
        }
    }
}

/// What was prepared.
#[derive(Default)]
struct Ready {
    traces: Option<Traces>,
    exporter: Option<Exporter>,
}

fn ready(cli: &Cli) -> Result<Ready> {
    let traces = match &cli.command {
        Command::Serve(args) => args.traces()?,
        _ => None,
    };
    let exporter = traces.as_ref().map(|traces| Exporter::start(traces.export.clone())).transpose()?;
    start_log(&cli.log, cli.log_json, exporter.clone())?;
    runtime::disable_telemetry();
    if !cli::is_set(runtime::CUBLAS_WORKSPACES) {
        runtime::small_workspaces();
    }
    Ok(Ready { traces, exporter })
}

fn run(command: Command, ready: Ready) -> Result<()> {
    match command {
        Command::Serve(args) => {
            let served = commands::serve::run(&args, ready.traces.as_ref(), ready.exporter.as_ref());
            // What is left of the last requests' traces.
            ready.exporter.iter().for_each(Exporter::stop);
            served
        }
        Command::ImportBackbone(args) => commands::import_backbone::run(&args),
        Command::ImportPack(args) => commands::import_pack::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::TrainTask(args) => commands::train_task::run(*args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Study(args) => commands::study::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Publish(args) => commands::publish::run(&args),
        Command::Rollback(args) => commands::rollback::run(&args),
        Command::Versions(args) => commands::versions::run(&args),
        Command::Gc(args) => commands::gc::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Keys(args) => commands::keys::run(args),
        Command::Usage(args) => commands::usage::run(&args),
        Command::Health(args) => commands::health::run(&args),
    }
}

fn start_log(filter: &str, json: bool, exporter: Option<Exporter>) -> Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log or MIMI_LOG = {filter:?}"))?;
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let log = match (json, std::io::stderr().is_terminal()) {
        (true, _) => log.json().boxed(),
        // On a terminal NO_COLOR decides.
        (false, true) => log.boxed(),
        (false, false) => log.with_ansi(false).boxed(),
    };
    let Some(exporter) = exporter else {
        // Without traces one filter decides for all, and a span that no line shows costs nothing.
        tracing_subscriber::registry().with(log.and_then(filter)).init();
        return Ok(());
    };
    let ours = filter_fn(|about| about.is_span() && about.target().starts_with("mimi_server"));
    let traces = traces::Layer::new(exporter).with_filter(ours);
    tracing_subscriber::registry().with(log.with_filter(filter)).with(traces).init();
    Ok(())
}
