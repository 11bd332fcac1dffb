//! What was typed after `usage`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use mimi_server::usage::{By, Range};

use super::moment::{midnight, moment};

/// Options of `usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Folder of the usage log.
    #[arg(long, env = "MIMI_USAGE_LOG", value_name = "DIR")]
    pub usage_log: PathBuf,
    /// One UTC month, such as 2026-11.
    #[arg(long, value_name = "YYYY-MM", conflicts_with_all = ["from", "to"])]
    month: Option<String>,
    /// The first UTC day, such as 2026-11-26, or an RFC 3339 time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// The first UTC day or RFC 3339 time that no longer counts.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// What each row is about.
    #[arg(long, default_value = "tenant")]
    by: ByArg,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
    /// Exit with status 1 when a line cannot be read.
    #[arg(long)]
    pub strict: bool,
}

impl UsageArgs {
    /// Which lines are summed.
    ///
    /// # Errors
    /// When a time cannot be read, or nothing lies between the two.
    pub fn range(&self) -> Result<Range> {
        if let Some(text) = &self.month {
            return month(text).with_context(|| format!("--month {text}: expected a month such as 2026-11"));
        }
        let (from, to) = (self.from.unwrap_or(Timestamp::MIN), self.to.unwrap_or(Timestamp::MAX));
        if from >= to {
            bail!("--from {from} is not before --to {to}");
        }
        Ok(Range { from, to })
    }

    /// What each row is about.
    pub fn by(&self) -> By {
        match self.by {
            ByArg::Tenant => By::Tenant,
            ByArg::Task => By::Task,
            ByArg::Key => By::Key,
            ByArg::Day => By::Day,
        }
    }
}

/// Kinds of rows by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByArg {
    /// A tenant.
    Tenant,
    /// A task of a tenant.
    Task,
    /// A key of a tenant.
    Key,
    /// A tenant's UTC day.
    Day,
}

fn month(text: &str) -> Option<Range> {
    let (year, month) = text.split_once('-')?;
    if year.len() != 4 || month.len() != 2 {
        return None;
    }
    let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
    let next = match first.month() {
        12 => date(first.year().checked_add(1).filter(|year| *year <= 9999)?, 1, 1),
        month => date(first.year(), month + 1, 1),
    };
    Some(Range { from: midnight(first)?, to: midnight(next)? })
}
