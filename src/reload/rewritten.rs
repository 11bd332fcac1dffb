//! Live versions whose files changed, although versions are immutable. The pack in memory goes on answering; its task says
//! that the files differ.

use std::path::PathBuf;
use std::sync::Arc;

use super::blocking::blocking;
use super::reloader::Reloader;
use super::watcher::Watcher;
use crate::catalog::Served;
use crate::files::Disk;
use crate::pack::{self, TaskId, VersionState};

/// Tasks looked at in one tick. With ticks of half a second, 10,000 tasks take 20 s.
const AT_ONCE: usize = 256;

/// A version whose files look different from before.
struct Changed {
    task: TaskId,
    served: Served,
    /// Why it is not what was read; none where only times or inodes changed.
    reason: Option<String>,
}

impl Reloader {
    /// Looks at the files of the next few packs in memory.
    pub(super) async fn find_rewritten(&self, watcher: &mut Watcher) {
        let (resident, cursor) = self.catalog.resident(watcher.cursor.as_ref(), AT_ONCE);
        watcher.cursor = cursor;
        if resident.is_empty() {
            return;
        }
        let (disk, catalog) = (Arc::clone(self.catalog.disk()), Arc::clone(&self.catalog));
        let found = blocking(move || {
            let folder = |task: &TaskId, served: &Served| catalog.folder(task, served.version);
            let looked = resident.into_iter().filter_map(|(task, served)| {
                let folder = folder(&task, &served);
                compare(&*disk, folder, task, served)
            });
            looked.collect::<Vec<_>>()
        });
        for Changed { task, served, reason } in found.await.unwrap_or_default() {
            self.catalog.looked_at(&task, served, reason);
        }
    }
}

/// What has changed in a version's files; none if they look as before or cannot be looked at.
fn compare(disk: &dyn Disk, folder: PathBuf, task: TaskId, served: Served) -> Option<Changed> {
    // The listing tells of folders that are gone.
    let state = VersionState::of(disk, &folder).ok().filter(VersionState::has_folder)?;
    if state == served.state {
        return None;
    }
    let reason = match pack::read_digest(disk, &folder) {
        Ok(digest) if digest == served.digest => None,
        Ok(_) => {
            Some("its files were rewritten; what was published answers until it leaves memory".to_owned())
        }
        Err(error) if error.is_of_reading() => return None,
        Err(error) => Some(format!("its files are no longer whole; what was published answers: {error}")),
    };
    Some(Changed { task, served: Served { state, ..served }, reason })
}
