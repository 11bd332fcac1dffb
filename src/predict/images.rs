//! Which images are scored.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::train::{LeftOut, walk_images};

/// Most bytes of a list, which is held in memory.
const LIST_BYTES: u64 = 1 << 30;

/// An image, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is called in the output: its path within the folder, or as the list has it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// The images of a folder and of all folders in it, by name; or those of a list, a path a line, relative to the list's
/// own folder. `-` is a list from standard input, relative to where the command runs. What a folder holds beside images
/// is added to `left_out`.
///
/// # Errors
/// When the folder or the list cannot be read, or a name is not UTF-8.
pub fn images(source: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Listed>> {
    let shown = source.display().to_string();
    if source == Path::new("-") {
        return listed(&text(std::io::stdin().lock(), "standard input")?, Path::new(""));
    }
    if source.is_dir() {
        return walked(source, left_out);
    }
    let file = std::fs::File::open(source).with_context(|| shown.clone())?;
    listed(&text(file, &shown)?, source.parent().unwrap_or(Path::new("")))
}

fn walked(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Listed>> {
    let mut paths = walk_images(folder, left_out)?;
    paths.sort();
    let name = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_str();
        let name = name.with_context(|| format!("the name of {} is not UTF-8", path.display()))?.to_owned();
        Ok(Listed { name, path })
    };
    paths.into_iter().map(name).collect()
}

fn listed(text: &str, folder: &Path) -> Result<Vec<Listed>> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let named = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(named.map(|name| Listed { name: name.to_owned(), path: folder.join(name) }).collect())
}

fn text(source: impl Read, name: &str) -> Result<String> {
    let mut text = String::new();
    source.take(LIST_BYTES + 1).read_to_string(&mut text).with_context(|| name.to_owned())?;
    ensure!(text.len() as u64 <= LIST_BYTES, "{name}: a list has at most {} MiB", LIST_BYTES >> 20);
    Ok(text)
}
