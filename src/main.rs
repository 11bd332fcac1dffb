//! The `server` binary: parse, then do what was asked.

mod cli;
mod commands;

use anyhow::Result;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

fn main() -> Result<()> {
    let cli = Cli::parse();
    start_log(&cli.log, cli.log_json)?;
    match cli.command {
        Command::Serve(args) => commands::serve::run(&args),
        Command::ImportBackbone(args) => commands::import_backbone::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Health(args) => commands::health::run(&args),
    }
}

fn start_log(filter: &str, json: bool) -> Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_target(false);
    if json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}
