//! `server versions`.

use anyhow::{Context, Result};
use mimi_server::shelf::Pointer;
use mimi_server::text;

use super::waiting::wait_for;
use crate::cli::VersionsArgs;

/// Prints a task's versions, newest first.
pub fn run(args: &VersionsArgs) -> Result<()> {
    wait_for(async {
        let source = args.source.open()?;
        let pointer = source.pointer(&args.task).await.with_context(|| source.name())?;
        let none = || format!("{}: task {} has no version", source.name(), args.task);
        let pointer = pointer.with_context(none)?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&*pointer)?);
        } else {
            print!("{}", table(&pointer));
        }
        Ok(())
    })
}

fn table(pointer: &Pointer) -> String {
    let mut rows = vec![["version", "labels", "bytes", "sha256"].map(str::to_owned).to_vec()];
    for (version, stored) in pointer.versions.iter().rev() {
        let labels = pointer.labels.iter().filter(|(_, named)| *named == version);
        let labels: Vec<&str> = labels.map(|(label, _)| label.as_str()).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(",") };
        rows.push(vec![version.to_string(), labels, stored.bytes.to_string(), stored.digest.to_string()]);
    }
    text::columns(&rows, rows[0].len())
}
