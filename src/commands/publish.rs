//! `server publish`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use mimi_server::files::{Disk, System, write_atomically};
use mimi_server::pack::{self, MAX_ARCHIVE_BYTES};
use mimi_server::shelf::{Naming, Published};

use super::waiting::wait_for;
use crate::cli::PublishArgs;

/// Publishes a version, or writes its archive.
pub fn run(args: &PublishArgs) -> Result<()> {
    let archive = archive(&args.path)?;
    if let Some(file) = &args.pack_to {
        write_atomically(file, &archive).with_context(|| file.display().to_string())?;
        println!("{}: {} bytes", file.display(), archive.len());
        return Ok(());
    }
    let task = args.task.clone().context("--task is missing")?;
    let naming = Naming { version: args.version, label: args.label() };
    wait_for(async {
        let source = args.open()?;
        let published = source.publish(&task, archive.into(), naming).await.with_context(|| source.name())?;
        tell(task.as_str(), &published);
        Ok(())
    })
}

/// The archive of a version's folder, or the file that it is. One whose pack cannot be unpacked is refused here.
pub fn archive(path: &Path) -> Result<Bytes> {
    if path.is_dir() {
        return Ok(pack::archive(&System, path)?.into());
    }
    let size = System.size(path).with_context(|| path.display().to_string())?;
    ensure!(
        size <= MAX_ARCHIVE_BYTES,
        "{}: {size} bytes, more than the {MAX_ARCHIVE_BYTES} allowed",
        path.display()
    );
    let bytes = System.read(path, MAX_ARCHIVE_BYTES + 1).with_context(|| path.display().to_string())?;
    pack::check_archive(&bytes, path)?;
    Ok(bytes.into())
}

/// One line of what was published.
pub fn tell(task: &str, Published { done, digest }: &Published) {
    let news = if done.is_change() { "" } else { " (already there)" };
    println!("{task} version {} sha256 {digest}{news}", done.version());
}
