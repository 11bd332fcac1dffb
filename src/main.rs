//! The `server` binary: parse, then do what was asked.

mod cli;
mod commands;

use std::process::ExitCode;

use anyhow::{Context, Result};
use mimi_server::{errors, runtime};
use tracing_subscriber::EnvFilter;

use cli::Command;

fn main() -> ExitCode {
    let cli = match cli::parse(&cli::typed()) {
        Ok(cli) => cli,
        Err(refusal) => refusal.exit(),
    };
    if !matches!(cli.command, Command::Serve(_)) {
        // Whoever reads what is printed may stop early (`| head`); a server's sockets must outlive theirs.
        sigpipe::reset();
    }
    let ready = start_log(&cli.log, cli.log_json).map(|()| runtime::disable_telemetry());
    match ready.and_then(|()| run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", errors::once(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => commands::serve::run(&args),
        Command::ImportBackbone(args) => commands::import_backbone::run(&args),
        Command::ImportPack(args) => commands::import_pack::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::TrainTask(args) => commands::train_task::run(*args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Keys(args) => commands::keys::run(args),
        Command::Usage(args) => commands::usage::run(&args),
        Command::Health(args) => commands::health::run(&args),
    }
}

fn start_log(filter: &str, json: bool) -> Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_new(filter).with_context(|| format!("--log or MIMI_LOG = {filter:?}"))?,
        )
        .with_writer(std::io::stderr)
        .with_target(false);
    if json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}
