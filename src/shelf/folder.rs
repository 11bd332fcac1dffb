//! Packs in a folder: `<task>/<version>/`. Without `labels.json` the newest version answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::blocking::blocking;
use super::digest::Digest;
use super::edit::{Done, Edit};
use super::error::Error;
use super::feed::Changes;
use super::labels::{LABELS_FILE, Labels};
use super::place::Place;
use super::pointer::{Pointer, STABLE, Stored};
use super::source::{Naming, PackSource, Published, Sweep, Swept};
use crate::files::{self, System, is_absence};
use crate::pack::{self, TaskId};

/// File that whoever changes a task's folder locks.
const LOCK_FILE: &str = ".lock";

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

    /// Keeps other changes of a task's folder waiting until it is dropped.
    fn lock(&self, task: &TaskId) -> Result<File, Error> {
        let folder = self.task(task);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let path = folder.join(LOCK_FILE);
        let file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        file.lock().map_err(Error::io(&path))?;
        Ok(file)
    }

    /// The pointer that the folder stands for, and whether it has labels of its own.
    fn read(&self, task: &TaskId) -> Result<(Pointer, bool), Error> {
        let folder = self.task(task);
        let mut pointer = Pointer::new(task);
        for version in versions(&folder)? {
            // One that is still being copied is none yet.
            if let Some(stored) = stored(&folder.join(version.to_string()))? {
                pointer.versions.insert(version, stored);
            }
        }
        let labels = Labels::read(&System, &folder).map_err(|e| e.of(task))?;
        let has_labels = labels.is_some();
        match labels {
            Some(labels) => {
                pointer.seq = labels.seq;
                pointer.labels = labels.labels;
                // A label whose version was deleted by hand names nothing.
                let Pointer { labels, versions, .. } = &mut pointer;
                labels.retain(|_, version| versions.contains_key(version));
            }
            None => pointer.labels.extend(pointer.newest().map(|newest| (STABLE.to_owned(), newest))),
        }
        Ok((pointer, has_labels))
    }

    fn write_labels(&self, task: &TaskId, pointer: &Pointer) -> Result<(), Error> {
        let (folder, labels) = (self.task(task), Labels::new(pointer.seq, pointer.labels.clone()));
        labels.write(&folder).map_err(Error::io(folder.join(LABELS_FILE)))
    }

    fn publish_now(&self, task: &TaskId, archive: &[u8], naming: Naming) -> Result<Published, Error> {
        let digest = Digest::of(archive);
        let (folder, _lock) = (self.task(task), self.lock(task)?);
        let (before, has_labels) = self.read(task)?;
        let stored =
            Stored { digest: digest.clone(), bytes: archive.len() as u64, other: Default::default() };
        let edit = Edit::Add { version: naming.version, stored, label: naming.label };
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
        Ok(Published { done, digest })
    }

    fn edit_now(&self, task: &TaskId, edit: &Edit) -> Result<Done, Error> {
        if !self.task(task).is_dir() {
            return Err(Error::NoTask(task.clone()));
        }
        let _lock = self.lock(task)?;
        let (before, _) = self.read(task)?;
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
        let mut swept = Swept::default();
        for task in self.tasks_now()? {
            let (before, _) = self.read(&task)?;
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
        Ok(swept)
    }
}

/// Unpacks an archive beside and renames it to a version, which must not be there.
fn place(folder: &Path, version: u64, archive: &[u8]) -> Result<(), Error> {
    let (partial, target) = (files::beside(&folder.join("next")), folder.join(version.to_string()));
    let unpacked = pack::unpack(&mut &archive[..], &target, &partial).map_err(Error::from);
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
        Ok(archive) => {
            let digest = Digest::of(&archive);
            Ok(Some(Stored { digest, bytes: archive.len() as u64, other: Default::default() }))
        }
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

/// Removes what crashes left half-written or half-removed, and tells how much that was.
fn leftovers(folder: &Path, sweep: Sweep) -> Result<usize, Error> {
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let age = fs::symlink_metadata(&path).and_then(|found| found.modified()).ok();
        let is_old = age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > sweep.grace);
        if name.starts_with('.') && name.ends_with(".partial") && is_old {
            count += 1;
            if !sweep.is_dry {
                let removed = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                removed.map_err(Error::io(&path))?;
            }
        }
    }
    Ok(count)
}

impl PackSource for Folder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn pointer<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, Result<Option<Arc<Pointer>>, Error>> {
        let (own, task) = (self.clone(), task.clone());
        Box::pin(blocking(move || {
            let (pointer, _) = own.read(&task)?;
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
        archive: Bytes,
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
