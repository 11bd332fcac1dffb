//! Many trainings from one file: each line holds the options in which one differs from what was typed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::shard::Shard;
use super::{Command, TrainArgs, typed};

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
