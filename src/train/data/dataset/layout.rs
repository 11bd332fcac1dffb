//! Whether the folders of a data set are classes, or splits that hold classes.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::Serialize;

use super::entry::Part;
use super::tree::Folder;

/// What the folders of a data set mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderLayout {
    /// `<dir>/<class>/<image>`.
    Classes,
    /// `<dir>/<split>/<class>/<image>`.
    Splits,
}

impl FromStr for FolderLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "classes" => Ok(Self::Classes),
            "splits" => Ok(Self::Splits),
            _ => Err(format!("unknown layout {text:?}: expected classes or splits")),
        }
    }
}

/// What a folder holds, as far as the layout depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// No image.
    Nothing,
    /// Images and no folder with images.
    Images,
    /// Folders with images and no image beside them.
    Classes,
    /// Both.
    Both,
}

fn holds(folder: &Folder) -> Holds {
    match (folder.images.is_empty(), folder.nested().is_empty()) {
        (true, true) => Holds::Nothing,
        (false, true) => Holds::Images,
        (true, false) => Holds::Classes,
        (false, false) => Holds::Both,
    }
}

/// The layout that the folders' names and what they hold leave no doubt of.
///
/// # Errors
/// When two splits have the same meaning, or both layouts are possible, with the choices.
pub(super) fn find(root: &Folder) -> Result<FolderLayout> {
    let named = |folder: &&Folder| split(folder).is_some();
    let (splits, others): (Vec<&Folder>, Vec<&Folder>) = root
        .folders
        .iter()
        .filter(|folder| split(folder).is_some() || holds(folder) != Holds::Nothing)
        .partition(named);
    let any = |folders: &[&Folder], wanted: &[Holds]| folders.iter().any(|f| wanted.contains(&holds(f)));
    if splits.is_empty() {
        return Ok(FolderLayout::Classes);
    }
    if !any(&splits, &[Holds::Classes, Holds::Both]) {
        // Among others that are called otherwise a class may be called train; test is rather what nobody labelled.
        let full: Vec<&Folder> =
            splits.iter().copied().filter(|folder| holds(folder) != Holds::Nothing).collect();
        if full.is_empty() && !others.is_empty() {
            return Ok(FolderLayout::Classes);
        }
        let splits = if full.is_empty() { splits } else { full };
        let only_train = splits.iter().all(|folder| split(folder) == Some(Part::Train));
        if splits.len() == 1 && (only_train || others.is_empty()) {
            return Ok(FolderLayout::Classes);
        }
        return ambiguous(root, &splits, "hold images and no class folder");
    }
    if !others.is_empty() {
        let others = others.iter().map(told).collect::<Vec<_>>().join(", ");
        return ambiguous(root, &splits, &format!("are named like splits, and beside them stand {others}"));
    }
    if any(&splits, &[Holds::Images, Holds::Both]) {
        return ambiguous(
            root,
            &splits,
            "are named like splits, and not all images in them lie in class folders",
        );
    }
    Ok(FolderLayout::Splits)
}

/// The split that a folder is named for.
pub(super) fn split(folder: &Folder) -> Option<Part> {
    Part::named(folder.name().ok()?)
}

/// Splits must mean different things.
///
/// # Errors
/// With two folders that mean the same.
pub(super) fn check_apart(splits: &[(Part, &Folder)]) -> Result<()> {
    for (number, (part, folder)) in splits.iter().enumerate() {
        if let Some((_, twin)) = splits[..number].iter().find(|(other, _)| other == part) {
            let (one, two, meaning) = (twin.path.display(), folder.path.display(), part.adjective());
            bail!(
                "{one} and {two} are the same part: both are named for {meaning} images; rename or move one"
            );
        }
    }
    Ok(())
}

fn ambiguous(root: &Folder, splits: &[&Folder], what: &str) -> Result<FolderLayout> {
    let names: Vec<String> = splits.iter().map(told).collect();
    let (dir, names) = (root.path.display(), names.join(", "));
    bail!(
        "{dir} can be read in two ways: {names} {what}; say which: --layout splits takes classes from within the \
         splits and leaves out every image that lies in none, --layout classes takes every folder of {dir} as a class"
    )
}

/// A folder with what it holds, for messages.
fn told(folder: &&Folder) -> String {
    let name = Path::new(&folder.path).file_name().unwrap_or_default().to_string_lossy();
    let (own, nested) = (folder.images.len(), folder.nested().len());
    match (own, nested) {
        (own, 0) => format!("{name}/ ({own} images)"),
        (0, nested) => format!("{name}/ ({nested} images in folders)"),
        (own, nested) => format!("{name}/ ({own} loose images, {nested} in folders)"),
    }
}
