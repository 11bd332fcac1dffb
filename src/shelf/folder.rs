//! Packs in a folder: `<task>/<version>/`. Without `labels.json` the newest version answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::archive::Archive;
use super::blocking::blocking;
use super::edit::{Done, Edit};
use super::error::Error;
use super::feed::Changes;
use super::labels::{LABELS_FILE, Labels};
use super::leftovers::leftovers;
use super::locked::locked;
use super::place::Place;
use super::pointer::{Pointer, STABLE, Stored};
use super::source::{Naming, PackSource, Published, Sweep, Swept};
use crate::files::{self, System, is_absence};
use crate::pack::{self, TaskId};

/// What a task's folder has.
#[derive(Debug)]
struct Found {
    /// What it stands for.
    pointer: Pointer,
    /// Whether it has labels of its own.
    has_labels: bool,
    /// Labels whose version is not there: deleted by hand, or away for a moment.
    lost: BTreeMap<String, u64>,
    /// Versions that the system cannot read.
    unreadable: Vec<(u64, Error)>,
}

impl Found {
    /// What may be changed. What is written must not lose a label because its version is away, but for the one that is
    /// to be `moved`; and a new version must not get the number of one that cannot be read.
    fn changeable(self, task: &TaskId, moved: Option<&str>) -> Result<(Pointer, bool), Error> {
        let newest = self.pointer.newest();
        if let Some((_, error)) = self.unreadable.into_iter().find(|(version, _)| Some(*version) > newest) {
            return Err(error);
        }
        match self.lost.into_iter().find(|(label, _)| Some(label.as_str()) != moved) {
            None => Ok((self.pointer, self.has_labels)),
            Some((label, version)) => {
                let reason =
                    format!("label {label} names version {version}, which is not there: move the label");
                Err(Error::Refused { task: task.clone(), reason })
            }
        }
    }
}

/// A folder of packs.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder; it need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn task(&self, task: &TaskId) -> PathBuf {
        self.root.join(task.as_str())
    }

    fn read(&self, task: &TaskId) -> Result<Found, Error> {
        let folder = self.task(task);
        let (has_labels, lost, unreadable) = Default::default();
        let mut found = Found { pointer: Pointer::new(task), has_labels, lost, unreadable };
        let pointer = &mut found.pointer;
        for version in versions(&folder)? {
            match stored(&folder.join(version.to_string())) {
                Ok(Some(stored)) => drop(pointer.versions.insert(version, stored)),
                // One that is still being copied is none yet.
                Ok(None) => {}
                Err(error) => found.unreadable.push((version, error)),
            }
        }
        let labels = Labels::read(&System, &folder).map_err(|e| e.of(task))?;
        found.has_labels = labels.is_some();
        let Some(labels) = labels else {
            pointer.labels.extend(pointer.newest().map(|newest| (STABLE.to_owned(), newest)));
            return Ok(found);
        };
        pointer.seq = labels.seq;
        let is_there = |version: &u64| pointer.versions.contains_key(version);
        (pointer.labels, found.lost) = labels.labels.into_iter().partition(|(_, version)| is_there(version));
        Ok(found)
    }

    fn write_labels(&self, task: &TaskId, pointer: &Pointer) -> Result<(), Error> {
        let (folder, labels) = (self.task(task), Labels::new(pointer.seq, pointer.labels.clone()));
        labels.write(&folder).map_err(Error::io(folder.join(LABELS_FILE)))
    }

    fn publish_now(&self, task: &TaskId, archive: &Archive, naming: Naming) -> Result<Published, Error> {
        let (folder, _lock) = (self.task(task), locked(&self.task(task))?);
        let (before, has_labels) = self.read(task)?.changeable(task, None)?;
        let edit = Edit::Add { version: naming.version, stored: Stored::of(archive), label: naming.label };
        let mut after = before.clone();
        let done = edit.apply(task, &mut after)?;
        let (version, is_newest) = (done.version(), after.newest() == Some(done.version()));
        // Where the newest answers, what is to answer needs no labels.
        let needs_labels = has_labels || after.labels != newest_answers(&after);
        if needs_labels && !has_labels && is_newest {
            // Written first: from here on a newer version does not answer by itself.
            self.write_labels(task, &before)?;
        }
        if !before.versions.contains_key(&version) {
            place(&folder, version, archive)?;
        }
        if needs_labels && done.is_change() {
            self.write_labels(task, &after)?;
        }
        Ok(Published { done, digest: archive.digest().clone() })
    }

    fn edit_now(&self, task: &TaskId, edit: &Edit) -> Result<Done, Error> {
        if !self.task(task).is_dir() {
            return Err(Error::NoTask(task.clone()));
        }
        let _lock = locked(&self.task(task))?;
        let moved = if let Edit::Label { label, .. } = edit { Some(label.as_str()) } else { None };
        let (before, _) = self.read(task)?.changeable(task, moved)?;
        let mut after = before.clone();
        let done = edit.apply(task, &mut after)?;
        if done.is_change() && after.labels != before.labels {
            self.write_labels(task, &after)?;
        }
        for version in before.versions.keys().filter(|version| !after.versions.contains_key(version)) {
            remove(&self.task(task).join(version.to_string()))?;
        }
        Ok(done)
    }

    fn tasks_now(&self) -> Result<Vec<TaskId>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let entry = entry.map_err(Error::io(&self.root))?;
            let task = entry.file_name().to_str().and_then(|name| name.parse().ok());
            found.extend(task.filter(|_| entry.path().is_dir()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn sweep_now(&self, sweep: Sweep) -> Result<Swept, Error> {
        let mut swept = Swept { blobs: leftovers(&self.root, sweep)?, ..Swept::default() };
        let mut refused = None;
        for task in self.tasks_now()? {
            let before = match self.read(&task)?.changeable(&task, None) {
                Ok((before, _)) => before,
                Err(error) => {
                    // Other tasks are swept all the same.
                    refused.get_or_insert(error);
                    continue;
                }
            };
            let (edit, mut after) = (Edit::Keep { newest: sweep.keep }, before.clone());
            edit.apply(&task, &mut after)?;
            if !sweep.is_dry {
                self.edit_now(&task, &edit)?;
            }
            let gone = before.versions.iter().filter(|(version, _)| !after.versions.contains_key(version));
            for (_, stored) in gone {
                swept.versions += 1;
                swept.bytes += stored.bytes;
            }
            swept.blobs += leftovers(&self.task(&task), sweep)?;
            swept.tasks += 1;
        }
        refused.map_or(Ok(swept), Err)
    }
}

/// Unpacks an archive beside and renames it to a version, which must not be there.
fn place(folder: &Path, version: u64, archive: &Archive) -> Result<(), Error> {
    let (partial, target) = (files::beside(&folder.join("next")), folder.join(version.to_string()));
    let unpacked =
        pack::unpack(&mut BufReader::new(archive.reader()), &target, &partial).map_err(Error::from);
    let placed = unpacked.and_then(|()| files::rename_to_free(&partial, &target).map_err(Error::io(&target)));
    if placed.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    placed.and_then(|()| files::sync_folder(folder).map_err(Error::io(folder)))
}

/// The labels that a folder without any stands for.
fn newest_answers(pointer: &Pointer) -> std::collections::BTreeMap<String, u64> {
    pointer.newest().map(|newest| (STABLE.to_owned(), newest)).into_iter().collect()
}

fn versions(folder: &Path) -> Result<Vec<u64>, Error> {
    match pack::versions(folder) {
        Err(pack::Error::Io { source, .. }) if is_absence(&source) => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

/// What a version's archive would be; none where a file of it is missing.
fn stored(folder: &Path) -> Result<Option<Stored>, Error> {
    match pack::archive(&System, folder) {
        Ok(archive) => Ok(Some(Stored::of(&archive.into()))),
        Err(pack::Error::Io { source, .. }) if is_absence(&source) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a version's folder: renamed first, so that it is whole or not there.
fn remove(folder: &Path) -> Result<(), Error> {
    let going = files::beside(folder);
    fs::rename(folder, &going).map_err(Error::io(folder))?;
    fs::remove_dir_all(&going).map_err(Error::io(&going))
}

impl PackSource for Folder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn pointer<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, Result<Option<Arc<Pointer>>, Error>> {
        let (own, task) = (self.clone(), task.clone());
        Box::pin(blocking(move || {
            let Found { pointer, unreadable, .. } = own.read(&task)?;
            if let Some((_, error)) = unreadable.into_iter().next() {
                return Err(error);
            }
            Ok((!pointer.versions.is_empty()).then(|| Arc::new(pointer)))
        }))
    }

    fn fetch<'a>(&'a self, task: &'a TaskId, version: u64) -> BoxFuture<'a, Result<Place, Error>> {
        let folder = self.task(task).join(version.to_string());
        let found = if folder.is_dir() {
            Ok(Place::of(folder))
        } else {
            Err(Error::NoVersion { task: task.clone(), version })
        };
        Box::pin(std::future::ready(found))
    }

    /// Anything: a server looks at the folder by itself.
    fn changes(&self) -> BoxFuture<'_, Result<Changes, Error>> {
        Box::pin(std::future::ready(Ok(Changes::Anything)))
    }

    fn publish<'a>(
        &'a self,
        task: &'a TaskId,
        archive: Archive,
        naming: Naming,
    ) -> BoxFuture<'a, Result<Published, Error>> {
        let (own, task) = (self.clone(), task.clone());
        Box::pin(blocking(move || own.publish_now(&task, &archive, naming)))
    }

    fn edit<'a>(&'a self, task: &'a TaskId, edit: Edit) -> BoxFuture<'a, Result<Done, Error>> {
        let (own, task) = (self.clone(), task.clone());
        Box::pin(blocking(move || own.edit_now(&task, &edit)))
    }

    fn tasks(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>> {
        let own = self.clone();
        Box::pin(blocking(move || own.tasks_now()))
    }

    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<Swept, Error>> {
        let own = self.clone();
        Box::pin(blocking(move || own.sweep_now(sweep)))
    }
}
