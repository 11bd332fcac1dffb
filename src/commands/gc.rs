//! `server gc`.

use anyhow::{Context, Result};
use mimi_server::shelf::Swept;

use super::waiting::wait_for;
use crate::cli::GcArgs;

/// Takes away what nothing names.
pub fn run(args: &GcArgs) -> Result<()> {
    wait_for(async {
        let source = args.source.open()?;
        let swept = source.sweep(args.sweep()).await.with_context(|| source.name())?;
        let Swept { tasks, versions, blobs, bytes } = swept;
        let did = if args.dry_run { "would be removed" } else { "removed" };
        println!("{tasks} tasks: {versions} versions and {blobs} blobs without a name {did}, {bytes} bytes");
        Ok(())
    })
}
