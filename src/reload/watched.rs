//! Which folders give notice of changes, and what notices mean.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use crate::files::{Notice, Notices, is_absence, is_remote};
use crate::pack::TaskId;

/// What notices said.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Anything may have changed.
    pub(super) all: bool,
    /// Names in the folder of packs may have.
    pub(super) root: bool,
    /// These tasks' folders may have.
    pub(super) tasks: BTreeSet<TaskId>,
}

/// Folders under watch.
pub(super) struct Watched {
    notices: Option<Notices>,
    root: Option<i32>,
    /// Tasks by the number of their folder's watch; links of several names may lead to one folder.
    tasks: HashMap<i32, BTreeSet<TaskId>>,
    numbers: BTreeMap<TaskId, i32>,
    wanted: bool,
    is_remote: bool,
    trouble: Option<String>,
}

impl Watched {
    pub(super) fn new(root: &Path, wanted: bool) -> Self {
        let mut new = Self {
            notices: None,
            root: None,
            tasks: HashMap::new(),
            numbers: BTreeMap::new(),
            wanted,
            is_remote: false,
            trouble: None,
        };
        new.start(root);
        new
    }

    /// Whether every change gives a notice.
    pub(super) fn is_relied_upon(&self) -> bool {
        self.notices.is_some() && !self.is_remote
    }

    /// Why notices cannot be relied upon, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Watches the folder of packs, and retries what could not be started before.
    pub(super) fn watch_root(&mut self, root: &Path) {
        self.start(root);
        let Some(notices) = &self.notices else { return };
        match notices.watch(root) {
            Ok(number) => {
                // The folder that was there before, if it is another.
                let before = self.root.replace(number).filter(|&before| before != number);
                before.into_iter().for_each(|before| notices.unwatch(before));
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Watches a task's folder; returns whether that worked.
    pub(super) fn watch(&mut self, task: &TaskId, folder: &Path) -> bool {
        let Some(notices) = &self.notices else { return false };
        match notices.watch(folder) {
            Ok(number) => {
                if self.numbers.get(task) != Some(&number) {
                    self.forget(task);
                    self.numbers.insert(task.clone(), number);
                    self.tasks.entry(number).or_default().insert(task.clone());
                }
                true
            }
            Err(error) => {
                self.forget(task);
                self.complain(&error);
                false
            }
        }
    }

    /// Ends the watch of a task's folder.
    pub(super) fn forget(&mut self, task: &TaskId) {
        let Some(number) = self.numbers.remove(task) else { return };
        if let Some(tasks) = self.tasks.get_mut(&number) {
            tasks.remove(task);
            if tasks.is_empty() {
                self.tasks.remove(&number);
                self.notices.iter().for_each(|notices| notices.unwatch(number));
            }
        }
    }

    /// What has changed since the last call.
    pub(super) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        match self.notices.as_ref().map(Notices::take) {
            None => {}
            Some(Ok(notices)) => notices.into_iter().for_each(|notice| self.add(&mut changes, notice)),
            Some(Err(error)) => {
                self.complain(&error);
                (self.notices, changes.all) = (None, true);
            }
        }
        changes
    }

    fn add(&self, changes: &mut Changes, notice: Notice) {
        let Notice::Changed { folder, name } = notice else {
            changes.all = true;
            return;
        };
        if Some(folder) == self.root {
            let Some(name) = name else {
                // The folder of packs itself was moved or removed.
                changes.all = true;
                return;
            };
            // Kubernetes swaps the link `..data`, through which every other name leads elsewhere then.
            changes.all |= name.starts_with("..");
            changes.root |= !name.starts_with('.');
            changes.tasks.extend(name.parse::<TaskId>().ok());
        } else if let Some(tasks) = self.tasks.get(&folder) {
            // The folder of packs tells of changes to a task's folder itself, except for links.
            changes.root |= name.is_none();
            if name.is_none_or(|name| !name.starts_with('.') || name.starts_with("..")) {
                changes.tasks.extend(tasks.iter().cloned());
            }
        }
    }

    fn start(&mut self, root: &Path) {
        if !self.wanted {
            return;
        }
        if self.notices.is_none() {
            match Notices::new() {
                Ok(notices) => {
                    (self.notices, self.trouble) = (Some(notices), None);
                    (self.root, self.tasks, self.numbers) = Default::default();
                }
                Err(error) => self.complain(&error),
            }
        }
        // A volume may be mounted while the server runs.
        let was_remote = self.is_remote;
        self.is_remote = is_remote(root).unwrap_or(was_remote);
        if self.is_remote && !was_remote {
            self.trouble = Some("a network file system gives no notice of what others change".into());
            tracing::info!(root = %root.display(), "a network file system: the folders' times are looked at in turn");
        }
    }

    /// Logs once that notices fail, and what follows from it.
    fn complain(&mut self, error: &io::Error) {
        if is_absence(error) {
            // The folder went away meanwhile; notices did not fail.
            return;
        }
        let reason = match error.kind() {
            io::ErrorKind::StorageFull => "fs.inotify.max_user_watches is reached".to_owned(),
            _ => error.to_string(),
        };
        if self.trouble.as_ref() != Some(&reason) {
            tracing::warn!(%reason, "no change notices for some folders: their times are looked at in turn");
            self.trouble = Some(reason);
        }
    }
}
