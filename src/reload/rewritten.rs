//! Live versions whose files changed although versions never do. What is in memory goes on answering; that its files are
//! others is told.

use std::path::PathBuf;
use std::sync::Arc;

use super::watch::Watcher;
use super::{Reloader, blocking};
use crate::catalog::Served;
use crate::files::Disk;
use crate::pack::{self, TaskId, VersionState};

/// Tasks looked at between two ticks: with ticks of half a second 10,000 tasks take their turn in 20 s.
const AT_ONCE: usize = 256;

/// A version whose files look otherwise than before.
struct Changed {
    task: TaskId,
    served: Served,
    /// Why it is not what was read; none where only times or inodes changed.
    reason: Option<String>,
}

impl Reloader {
    /// Looks at the files of some packs that are in memory, and at the next ones the next time.
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

/// What has changed of a version's files; none while they look as they did, or cannot be looked at.
fn compare(disk: &dyn Disk, folder: PathBuf, task: TaskId, served: Served) -> Option<Changed> {
    // A folder that is gone is for the listing to tell.
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
