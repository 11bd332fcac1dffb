//! Walks a folder: detects images by content and records why other files are skipped.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::left_out::{LeftOut, Reason};
use crate::image::Format;

/// Names that systems and archivers leave behind.
const SYSTEM: [&str; 8] = [
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Icon\r",
];

/// Bytes from which a format is detected.
const BEGINNING: u64 = 64;

/// A folder with its images and folders, sorted by name.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub path: PathBuf,
    pub images: Vec<PathBuf>,
    pub folders: Vec<Folder>,
}

/// Every image in a folder and in all folders in it; what else is there is added to `left_out`.
///
/// # Errors
/// When the folder cannot be listed.
pub fn images(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<PathBuf>> {
    let walked = Folder::walk(folder, left_out)?;
    Ok(walked.all().into_iter().map(Path::to_owned).collect())
}

impl Folder {
    /// Walks `dir` to its bottom. Links are followed, and a folder is entered once, where it is highest: so loops end.
    ///
    /// # Errors
    /// When `dir` itself cannot be listed. Failures below it are recorded as skipped.
    pub fn walk(dir: &Path, left_out: &mut Vec<LeftOut>) -> Result<Self> {
        let names = list(dir).with_context(|| dir.display().to_string())?;
        let mut walked = Walked { found: vec![Found::new(dir)], entered: BTreeSet::new() };
        walked.entered.insert(dir.canonicalize().with_context(|| dir.display().to_string())?);
        walked.sort_in(0, names, left_out);
        // Level by level: a link deep down never takes a class folder's images from it.
        let mut next = 1;
        while next < walked.found.len() {
            let path = walked.found[next].path.clone();
            match list(&path) {
                Ok(names) => walked.sort_in(next, names, left_out),
                Err(error) => left_out.push(LeftOut::new(path, Reason::Unreadable, error.to_string())),
            }
            next += 1;
        }
        Ok(walked.into_tree(left_out))
    }

    /// Its name.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn name(&self) -> Result<&str> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.with_context(|| format!("the name of {} is not UTF-8", self.path.display()))
    }

    /// Images in its folders and theirs.
    pub fn nested(&self) -> Vec<&Path> {
        self.folders.iter().flat_map(Self::all).collect()
    }

    /// Every image in it.
    pub fn all(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = self.images.iter().map(PathBuf::as_path).collect();
        all.extend(self.nested());
        all
    }
}

/// Why `path` is not an image; reads only the first bytes.
pub(super) fn look(path: &Path) -> Result<(), LeftOut> {
    let left_out = |reason, detail: String| Err(LeftOut::new(path, reason, detail));
    let data = match fs::metadata(path) {
        Ok(data) => data,
        Err(error) => return Err(LeftOut::new(path, absence(path, &error), error.to_string())),
    };
    if !data.is_file() {
        return left_out(Reason::NotAFile, if data.is_dir() { "a folder" } else { "no regular file" }.into());
    }
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    match (read, Format::sniff(&beginning)) {
        (Err(error), _) => left_out(Reason::Unreadable, error.to_string()),
        (Ok(0), _) => left_out(Reason::Empty, String::new()),
        (Ok(_), Err(error)) => Err(LeftOut::failed(path, &error.into())),
        (Ok(_), Ok(_)) => Ok(()),
    }
}

/// Why there is nothing behind a path.
fn absence(path: &Path, error: &std::io::Error) -> Reason {
    match (path.is_symlink(), error.kind()) {
        (true, ErrorKind::PermissionDenied) => Reason::Unreadable,
        (true, _) => Reason::DeadLink,
        (false, ErrorKind::NotFound | ErrorKind::NotADirectory) => Reason::Missing,
        (false, _) => Reason::Unreadable,
    }
}

/// A folder before its files were looked at; `folders` are places among those found.
struct Found {
    path: PathBuf,
    files: Vec<PathBuf>,
    folders: Vec<usize>,
}

impl Found {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), files: Vec::new(), folders: Vec::new() }
    }
}

struct Walked {
    found: Vec<Found>,
    /// Folders entered, without links.
    entered: BTreeSet<PathBuf>,
}

impl Walked {
    /// Sorts the entries of folder number `index` into files, folders to enter and skipped entries.
    fn sort_in(&mut self, index: usize, paths: Vec<PathBuf>, left_out: &mut Vec<LeftOut>) {
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') || SYSTEM.contains(&name.as_str()) {
                left_out.push(LeftOut::new(path, Reason::Hidden, ""));
            } else if !path.is_dir() {
                self.found[index].files.push(path);
            } else {
                match path.canonicalize() {
                    Err(error) => left_out.push(LeftOut::new(path, Reason::Unreadable, error.to_string())),
                    Ok(real) if !self.entered.insert(real.clone()) => {
                        let detail = format!("it is {}, which is walked elsewhere", real.display());
                        left_out.push(LeftOut::new(path, Reason::LinkedTwice, detail));
                    }
                    Ok(_) => {
                        let number = self.found.len();
                        self.found[index].folders.push(number);
                        self.found.push(Found::new(&path));
                    }
                }
            }
        }
    }

    /// Looks at every file, and puts folders into each other.
    fn into_tree(self, left_out: &mut Vec<LeftOut>) -> Folder {
        let mut done: Vec<Option<Folder>> = Vec::new();
        done.resize_with(self.found.len(), || None);
        let looked: Vec<Vec<_>> = self
            .found
            .par_iter()
            .map(|folder| folder.files.iter().map(|file| look(file)).collect())
            .collect();
        for (number, (found, looked)) in self.found.into_iter().zip(looked).enumerate().rev() {
            let folders = found.folders.iter().filter_map(|&child| done[child].take()).collect();
            let mut images = Vec::new();
            for (file, looked) in found.files.into_iter().zip(looked) {
                match looked {
                    Ok(()) => images.push(file),
                    Err(why) => left_out.push(why),
                }
            }
            done[number] = Some(Folder { path: found.path, images, folders });
        }
        // In the order of their names, whatever the order of the walk.
        left_out.sort_by(|a, b| a.path.cmp(&b.path));
        done.first_mut().and_then(Option::take).unwrap_or_default()
    }
}

/// Entries of a folder, sorted.
fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
