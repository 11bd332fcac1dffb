//! Many trainings from one file: each line holds the options in which one differs from what was typed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use super::{Command, TrainArgs, typed};

/// The lines that one of several machines trains: number `index` of `count`, by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err(format!("{text:?} is not a number from 0, a slash, and a larger one, as in 0/8")),
        }
    }
}

/// A training of many.
pub struct Listed {
    /// Its line, from 1.
    pub line: usize,
    /// What is typed and what the line says, the latter winning.
    pub args: TrainArgs,
}

impl TrainArgs {
    /// The trainings of the tasks file; the one that was typed where there is none.
    ///
    /// # Errors
    /// When the file cannot be read, or a line does not hold options of `train-task`; with its number.
    pub fn listed(self) -> Result<Vec<Listed>> {
        let Some(file) = self.many.tasks_file.clone() else {
            return Ok(vec![Listed { line: 0, args: self }]);
        };
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let tasks: Vec<_> = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
        ensure!(!tasks.is_empty(), "{} lists no task", file.display());
        let shard = self.many.shard.unwrap_or(Shard { index: 0, count: 1 });
        let own = tasks.into_iter().skip(shard.index).step_by(shard.count);
        let place = |line| format!("{}:{line}", file.display());
        let listed = own.map(|(line, text)| parse(line, text).with_context(|| place(line)));
        let listed = listed.collect::<Result<Vec<_>>>()?;
        check_lists(&listed)?;
        Ok(listed)
    }
}

/// Tasks must not list what they leave out in one file, each over what the last one wrote.
fn check_lists(listed: &[Listed]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for Listed { line, args } in listed {
        let Some(list) = &args.images.walk.list_skipped else { continue };
        if let Some(first) = seen.insert(list, line) {
            bail!(
                "lines {first} and {line} would write one file: give each its own --list-skipped, not {}",
                list.display()
            );
        }
    }
    Ok(())
}

fn parse(line: usize, text: &str) -> Result<Listed> {
    let words = shlex::split(text).context("a quotation mark is not closed")?;
    let typed: Vec<OsString> = typed().into_iter().chain(words.into_iter().map(OsString::from)).collect();
    let cli = super::parse(&typed).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let Command::TrainTask(args) = cli.command else { bail!("it is not an option of train-task") };
    ensure!(args.task.is_some() && args.data.is_some(), "it needs --task and --data");
    Ok(Listed { line, args: *args })
}
