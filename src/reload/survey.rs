//! Looks at the folder of packs: what has changed since the last look. Notices tell where there are any, the times of
//! folders where there are none. A slow look at everything comes on top.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::home::read_marker;
use super::watched::Watched;
use crate::catalog::list_versions;
use crate::files::{Disk, Entry, FileState, is_absence};
use crate::pack::{TaskId, parse_version};
use crate::shelf::{LABELS_FILE, Labels};

/// A folder's times may count in steps of two seconds: a folder listed sooner after a change is listed once more.
const SETTLED: Duration = Duration::from_secs(3);
/// Rest after a look at all unwatched folders, in multiples of its duration: the looks cost 1 % of a core.
const REST: u32 = 100;
/// Folders that file systems make and that mean nothing here.
const IGNORED: [&str; 1] = ["lost+found"];

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The folder itself.
    pub(super) root: Option<FileState>,
    /// Whether everything was looked at.
    pub(super) is_whole: bool,
    /// Whether the folder of packs was listed, and holds no folder of a task.
    pub(super) is_empty: bool,
    /// What the marker in the folder of packs says, or why it cannot be read; none unless the folder was listed.
    pub(super) marker: Option<Result<Option<String>, String>>,
    /// Tasks known from earlier looks that are not in the folder any more.
    pub(super) gone: BTreeSet<TaskId>,
    /// Tasks that were listed, with their versions, or why they could not be.
    pub(super) seen: BTreeMap<TaskId, Result<Vec<u64>, String>>,
    /// What labels say of those of them that have any: the version that is to answer, or none.
    pub(super) stable: BTreeMap<TaskId, Option<u64>>,
    /// Folders whose name is neither a task id nor a version, seen for the first time.
    pub(super) passed_over: Vec<String>,
}

/// How a folder looked when it was listed.
#[derive(Clone, Copy, Debug)]
struct Mark {
    state: FileState,
    /// Since when it has looked so.
    since: Instant,
    /// Whether it was listed long enough after that.
    is_settled: bool,
}

/// A task's folder as it was at the last look.
#[derive(Debug, Default)]
struct Known {
    versions: Vec<u64>,
    /// What labels say, where there are any.
    stable: Option<Option<u64>>,
    /// How it looked; none where it could not be looked at.
    mark: Option<Mark>,
    /// Whether notices report changes.
    watched: bool,
    /// Names in it that are passed over.
    odd: BTreeSet<String>,
}

/// The folder of packs as it was at the last look.
pub(super) struct Survey {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    tasks: BTreeMap<TaskId, Known>,
    mark: Option<Mark>,
    odd: BTreeSet<String>,
    watched: Watched,
    /// Tasks to be looked at again, and whether they are in the folder.
    doubted: BTreeSet<TaskId>,
    /// Whether the last look failed half-way and lost notices.
    is_behind: bool,
    /// When folders without notices are looked at next.
    next_unwatched: Option<Instant>,
}

impl Survey {
    pub(super) fn new(disk: Arc<dyn Disk>, root: &Path, uses_notices: bool) -> Self {
        let watched = Watched::new(root, uses_notices);
        let (tasks, odd) = Default::default();
        Self {
            disk,
            root: root.to_owned(),
            tasks,
            mark: None,
            odd,
            watched,
            doubted: BTreeSet::new(),
            is_behind: true,
            next_unwatched: None,
        }
    }

    /// Looks at what may have changed, or at everything.
    ///
    /// # Errors
    /// When the folder of packs cannot be listed. [`Look::seen`] says what cannot be listed inside it.
    pub(super) fn look(&mut self, now: Instant, whole: bool) -> io::Result<Look> {
        let looked = self.look_once(now, whole || self.is_behind);
        self.is_behind = looked.is_err();
        looked
    }

    fn look_once(&mut self, now: Instant, whole: bool) -> io::Result<Look> {
        let changes = self.watched.take();
        let root = self.disk.state(&self.root)?;
        let is_moved = self.mark.is_none_or(|mark| !is_same_place(mark.state, root));
        let whole = whole || changes.all || is_moved;
        let mut look = Look { root: Some(root), is_whole: whole, ..Look::default() };
        let mut dirty = changes.tasks;
        let doubted = std::mem::take(&mut self.doubted);
        if whole || changes.root || !doubted.is_empty() || is_stale(self.mark, root, now) {
            if whole {
                self.watched.watch_root(&self.root);
            }
            let names = self.list_root(&mut look)?;
            let after = self.disk.state(&self.root)?;
            if !is_same_place(after, root) {
                return Err(io::Error::other("another folder took its place while it was listed"));
            }
            look.gone = self.tasks.keys().filter(|task| !names.contains(*task)).cloned().collect();
            dirty.extend(names.iter().filter(|task| whole || !self.tasks.contains_key(*task)).cloned());
            settle(&mut self.mark, root, now);
        }
        dirty.extend(self.stale_tasks(now));
        dirty.extend(doubted);
        for task in dirty {
            if !look.gone.contains(&task) {
                self.look_at(task, now, &mut look);
            }
        }
        Ok(look)
    }

    /// Makes the next look check these tasks, and whether they are in the folder.
    pub(super) fn doubt(&mut self, tasks: impl IntoIterator<Item = TaskId>) {
        self.doubted.extend(tasks);
    }

    /// Forgets tasks that are believed to be gone.
    pub(super) fn forget(&mut self, tasks: &BTreeSet<TaskId>) {
        for task in tasks {
            self.tasks.remove(task);
            self.watched.forget(task);
        }
    }

    /// A task's versions at the last look.
    pub(super) fn versions(&self, task: &TaskId) -> Option<Vec<u64>> {
        self.tasks.get(task).map(|known| known.versions.clone())
    }

    /// What a task's labels said at the last look, if it has any.
    pub(super) fn stable(&self, task: &TaskId) -> Option<Option<u64>> {
        self.tasks.get(task).and_then(|known| known.stable)
    }

    /// Tasks of the last look.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Number of tasks without change notices.
    pub(super) fn unwatched(&self) -> usize {
        self.tasks.values().filter(|known| !known.watched).count()
    }

    /// Why notices cannot be relied upon, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.watched.trouble()
    }

    /// All names that are passed over.
    pub(super) fn passed_over(&self) -> Vec<String> {
        let inside =
            self.tasks.iter().flat_map(|(task, known)| known.odd.iter().map(move |n| format!("{task}/{n}")));
        self.odd.iter().cloned().chain(inside).collect()
    }

    fn list_root(&mut self, look: &mut Look) -> io::Result<BTreeSet<TaskId>> {
        let mut names = BTreeSet::new();
        let mut odd = BTreeSet::new();
        for entry in self.disk.list(&self.root)?.into_iter().filter(|entry| entry.may_be_folder) {
            match entry.name.parse::<TaskId>() {
                Ok(task) => drop(names.insert(task)),
                Err(_) if entry.name.starts_with('.') || IGNORED.contains(&&*entry.name) => {}
                Err(_) => drop(odd.insert(entry.name)),
            }
        }
        look.passed_over.extend(odd.difference(&self.odd).cloned());
        self.odd = odd;
        look.is_empty = names.is_empty();
        look.marker = Some(read_marker(&*self.disk, &self.root).map_err(|error| error.to_string()));
        Ok(names)
    }

    fn look_at(&mut self, task: TaskId, now: Instant, look: &mut Look) {
        let folder = self.root.join(task.as_str());
        // Watched before it is listed, so that no change in between is missed.
        let watched = self.watched.watch(&task, &folder);
        let looked = self.disk.state(&folder).and_then(|state| {
            let entries = self.disk.list(&folder)?;
            Ok((state, stable(&*self.disk, &folder, &entries)?, entries))
        });
        let is_new = !self.tasks.contains_key(&task);
        let (state, stable, entries) = match looked {
            Ok(looked) => looked,
            // Gone since the folder of packs was listed, or a file that has the name of a task.
            Err(error) if is_new && is_absence(&error) => return,
            Err(error) => {
                self.tasks.entry(task.clone()).or_default().mark = None;
                look.seen.insert(task, Err(error.to_string()));
                return;
            }
        };
        let known = self.tasks.entry(task.clone()).or_default();
        known.watched = watched;
        settle(&mut known.mark, state, now);
        let folders = entries.into_iter().filter(|entry| entry.may_be_folder).map(|entry| entry.name);
        let (versions, odd): (Vec<_>, Vec<_>) =
            folders.filter(|name| !name.starts_with('.')).partition(|name| parse_version(name).is_some());
        let odd: BTreeSet<String> = odd.into_iter().collect();
        look.passed_over.extend(odd.difference(&known.odd).map(|name| format!("{task}/{name}")));
        known.odd = odd;
        known.versions = versions.iter().filter_map(|name| parse_version(name)).collect();
        known.versions.sort_unstable();
        known.stable = stable;
        look.stable.extend(stable.map(|stable| (task.clone(), stable)));
        look.seen.insert(task, Ok(known.versions.clone()));
    }

    /// Tasks without notices whose folders look different from the last look, and those that could not be looked at.
    fn stale_tasks(&mut self, now: Instant) -> Vec<TaskId> {
        if self.next_unwatched.is_some_and(|next| now < next) {
            return Vec::new();
        }
        let started = Instant::now();
        let (disk, root) = (&self.disk, &self.root);
        let relied = self.watched.is_relied_upon();
        let unwatched =
            self.tasks.iter().filter(|(_, known)| !(relied && known.watched) || known.mark.is_none());
        let stale = unwatched.filter_map(|(task, known)| {
            let is_stale = match disk.state(&root.join(task.as_str())) {
                Ok(state) => is_stale(known.mark, state, now),
                Err(_) => true,
            };
            is_stale.then(|| task.clone())
        });
        let stale = stale.collect();
        self.next_unwatched = Some(now + REST * started.elapsed());
        stale
    }
}

/// What a task's labels say, where it has any.
fn stable(disk: &dyn Disk, folder: &Path, entries: &[Entry]) -> io::Result<Option<Option<u64>>> {
    if !entries.iter().any(|entry| entry.name == LABELS_FILE) {
        return Ok(None);
    }
    let labels = Labels::read(disk, folder).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(labels.map(|labels| labels.stable()))
}

fn is_same_place(one: FileState, other: FileState) -> bool {
    (one.device, one.inode) == (other.device, other.inode)
}

/// Whether a folder must be listed: it looks different, or was listed too soon after its last change.
fn is_stale(mark: Option<Mark>, state: FileState, now: Instant) -> bool {
    match mark {
        Some(mark) if mark.state == state => !mark.is_settled && now >= mark.since + SETTLED,
        _ => true,
    }
}

/// Records that a folder that looks as `state` is listed now.
fn settle(mark: &mut Option<Mark>, state: FileState, now: Instant) {
    let since = mark.filter(|mark| mark.state == state).map_or(now, |mark| mark.since);
    *mark = Some(Mark { state, since, is_settled: now >= since + SETTLED });
}

/// A task's versions, listed now.
///
/// # Errors
/// When its folder cannot be listed.
pub(super) fn versions_now(disk: &dyn Disk, root: &Path, task: &TaskId) -> io::Result<Vec<u64>> {
    list_versions(disk, &root.join(task.as_str()))
}
