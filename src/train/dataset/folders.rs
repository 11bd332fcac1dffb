//! Folders: `<dir>/<class>/<image>` or `<dir>/<part>/<class>/<image>`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::listing::{Entry, Part};

/// Endings of files that are taken for images; what they really are, decoding tells.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Lists a folder in either form.
///
/// # Errors
/// When it cannot be listed, a class has no image, or a part stands twice.
pub(super) fn read(dir: &Path) -> Result<Vec<Entry>> {
    let folders = folders(dir)?;
    let parts: Vec<(Part, &PathBuf)> =
        folders.iter().filter_map(|folder| Some((Part::named(&name(folder).ok()?)?, folder))).collect();
    if !divided(&parts, folders.len())? {
        return classes(dir, Part::Train);
    }
    if let Some(other) = folders.iter().find(|folder| !parts.iter().any(|(_, part)| part == folder)) {
        bail!("{} stands beside train/, and is neither val/, validation/ nor test/", other.display());
    }
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        bail!("{} and {} are the same part", pair[0].1.display(), pair[1].1.display());
    }
    let mut entries = Vec::new();
    for (part, folder) in parts {
        entries.extend(classes(folder, part)?);
    }
    Ok(entries)
}

/// Whether there is a train/ of class folders, alone or with another part beside it. (A class may be called train:
/// then it holds images.)
fn divided(parts: &[(Part, &PathBuf)], folders: usize) -> Result<bool> {
    let Some((_, train)) = parts.iter().find(|(part, _)| *part == Part::Train) else { return Ok(false) };
    Ok((parts.len() > 1 || folders == 1) && !self::folders(train)?.is_empty())
}

fn classes(dir: &Path, part: Part) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for folder in folders(dir)? {
        let label = name(&folder)?;
        let images: Vec<PathBuf> = list(&folder)?.into_iter().filter(|file| is_image(file)).collect();
        ensure!(!images.is_empty(), "class {label} in {} has no image", dir.display());
        entries.extend(images.into_iter().map(|path| Entry { path, label: label.clone(), part, line: None }));
    }
    Ok(entries)
}

fn name(folder: &Path) -> Result<String> {
    let name = folder.file_name().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("the name of {} is not UTF-8", folder.display()))?.to_owned())
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) && path.is_file()
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(list(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// Entries of a folder, sorted; hidden ones are passed over.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || dir.display().to_string();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
