//! `server rollback`.

use anyhow::{Context, Result};
use mimi_server::shelf::Edit;

use super::waiting::wait_for;
use crate::cli::RollbackArgs;

/// Moves a label to another version.
pub fn run(args: &RollbackArgs) -> Result<()> {
    wait_for(async {
        let source = args.source.open()?;
        let edit = Edit::Label { label: args.label.clone(), version: args.version };
        let done = source.edit(&args.task, edit).await.with_context(|| source.name())?;
        let news = if done.is_change() { "" } else { " (as before)" };
        println!("{} {} is version {}{news}", args.task, args.label, done.version());
        Ok(())
    })
}
