//! What was typed after `study`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use mimi_server::train::study::{Machine, Protocol, StudyOptions, Turn};

use super::shard::Shard;
use super::{LimitArgs, RuntimeArgs};

/// Options of `study`.
#[derive(Debug, Args)]
pub struct StudyArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// The protocol: sets, arms, seeds, comparisons and what counts as success. See docs/studies.md.
    #[arg(long, value_name = "FILE")]
    pub protocol: PathBuf,
    /// Folder with a folder of images for each set, in any form that train-task reads.
    #[arg(long, value_name = "DIR", required_unless_present = "report")]
    pub data: Option<PathBuf>,
    /// Folder for results.jsonl, a line a run, report.md and plots. Runs that are there are not made again.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Make every COUNT-th run of a set, from number INDEX on: one of several processes. Each writes a file of its own.
    #[arg(long, value_name = "INDEX/COUNT")]
    pub shard: Option<Shard>,
    /// Train nothing: write the report of the runs that are there.
    #[arg(long)]
    pub report: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
}

impl StudyArgs {
    /// The protocol.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself.
    pub fn protocol(&self) -> Result<Protocol> {
        let context = || self.protocol.display().to_string();
        let text = fs::read_to_string(&self.protocol).with_context(context)?;
        Protocol::parse(&text).with_context(context)
    }

    /// What is run, by a program with this digest.
    ///
    /// # Errors
    /// When the protocol cannot be read or contradicts itself.
    pub fn options(&self, program: &str) -> Result<StudyOptions> {
        let Shard { index, count } = self.shard.unwrap_or(Shard { index: 0, count: 1 });
        Ok(StudyOptions {
            protocol: self.protocol()?,
            data: self.data.clone().unwrap_or_default(),
            out: self.out.clone(),
            turn: Turn { index, count },
            machine: Machine::here(program),
        })
    }
}
