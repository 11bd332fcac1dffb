//! Folders: `<dir>/<class>/<image>` or `<dir>/<split>/<class>/<image>`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::entry::{Entry, Part};
use super::layout::{self, FolderLayout};
use super::left_out::{LeftOut, Reason, by_reason};
use super::tree::Folder;
use super::walk::Walk;

/// Lists a folder in either form.
///
/// # Errors
/// When it cannot be listed, is ambiguous, a class has no image, or a split occurs twice.
pub(super) fn read(dir: &Path, walk: &Walk, left_out: &mut Vec<LeftOut>) -> Result<Vec<Entry>> {
    let root = Folder::walk(dir, left_out)?;
    let splits: Vec<(Part, &Folder)> =
        root.folders.iter().filter_map(|folder| Some((layout::split(folder)?, folder))).collect();
    let layout = walk.layout.map_or_else(|| layout::find(&root), Ok)?;
    if layout == FolderLayout::Classes {
        return classes(&root, Part::Train, walk, left_out);
    }
    ensure!(
        !splits.is_empty(),
        "{} has no folder that is named like a split: expected train/",
        dir.display()
    );
    layout::check_apart(&splits)?;
    leave(left_out, root.images.iter(), Reason::Loose);
    for folder in root.folders.iter().filter(|folder| layout::split(folder).is_none()) {
        leave(left_out, folder.all(), Reason::BesideSplits);
    }
    let mut entries = Vec::new();
    for (part, folder) in splits {
        ensure!(!folder.all().is_empty(), "{} is named like a split and has no image", folder.path.display());
        entries.extend(classes(folder, part, walk, left_out)?);
    }
    Ok(entries)
}

/// The images of each folder of `dir`, which are classes.
fn classes(dir: &Folder, part: Part, walk: &Walk, left_out: &mut Vec<LeftOut>) -> Result<Vec<Entry>> {
    leave(left_out, dir.images.iter(), Reason::Loose);
    let mut entries = Vec::new();
    for folder in &dir.folders {
        let label = folder.name()?;
        let mut images: Vec<&Path> = folder.images.iter().map(PathBuf::as_path).collect();
        if walk.nested {
            check_no_split_within(folder)?;
            images = folder.all();
        } else {
            leave(left_out, folder.nested(), Reason::Nested);
        }
        ensure!(!images.is_empty(), "{}", empty(dir, folder, left_out)?);
        let entry = |path: &Path| Entry { path: path.to_owned(), label: label.to_owned(), part, line: None };
        entries.extend(images.into_iter().map(entry));
    }
    if entries.is_empty() && !dir.images.is_empty() {
        let count = dir.images.len();
        bail!(
            "{} holds {count} images and no class folder: expected <class>/<image> in it",
            dir.path.display()
        );
    }
    Ok(entries)
}

/// With nested folders, `<class>/train/` and `<class>/test/` would be trained on together.
fn check_no_split_within(class: &Folder) -> Result<()> {
    if let Some(split) = class.folders.iter().find(|folder| layout::split(folder).is_some()) {
        let (class, split) = (class.path.display(), split.path.display());
        bail!(
            "{split} is named like a split and lies in the class {class}: expected <split>/<class>/<image>"
        );
    }
    class.folders.iter().try_for_each(check_no_split_within)
}

/// Why a class has no image.
fn empty(dir: &Folder, class: &Folder, left_out: &[LeftOut]) -> Result<String> {
    let (label, within) = (class.name()?, dir.path.display());
    let own: Vec<LeftOut> =
        left_out.iter().filter(|one| one.path.starts_with(&class.path)).cloned().collect();
    let reasons = by_reason(&own).into_iter().map(|(reason, count)| format!("{count} {reason}"));
    let reasons: Vec<String> = reasons.collect();
    let told = match reasons.is_empty() {
        true => String::new(),
        false => format!(" (left out: {})", reasons.join(", ")),
    };
    let hint = match class.nested().is_empty() {
        true => "",
        false => "; --nested takes images from folders within a class",
    };
    let deeper = match (dir.folders.len(), class.folders.len()) {
        (1, 2..) => format!(", or did you mean the folder {}", class.path.display()),
        _ => String::new(),
    };
    Ok(format!(
        "class {label} in {within} has no image{told}{hint}{}",
        if hint.is_empty() { "" } else { &deeper }
    ))
}

fn leave<P: AsRef<Path>>(left_out: &mut Vec<LeftOut>, paths: impl IntoIterator<Item = P>, reason: Reason) {
    left_out.extend(paths.into_iter().map(|path| LeftOut::new(path.as_ref(), reason, "")));
}
