//! Whether what stands in the place of the folder of packs is the folder of packs.

use super::home::Found;
use super::losses::Trust;
use super::memory::{self, Remembered};
use super::survey::Look;
use super::watch::Watcher;
use super::{MARKER_FILE, Reloader};

impl Reloader {
    /// Whether the folder is the one that was trusted, and whether what it lacks can be believed.
    pub(super) async fn trust(&self, watcher: &mut Watcher, look: &Look, confirmed: bool) -> Trust {
        let (Some(root), true) = (look.root, look.is_root_listed) else {
            let is_other = self.folder_status().other.is_some();
            return if is_other { Trust::Other } else { Trust::Same };
        };
        if confirmed {
            return Trust::Confirmed;
        }
        let found = match watcher.home.compare(&**self.catalog.disk(), root, look.is_empty) {
            Ok(found) => found,
            Err(error) => Found::Other(format!("{} cannot be read: {error}", MARKER_FILE)),
        };
        let Found::Other(reason) = found else {
            self.change_status(|status| status.other = None);
            return Trust::Same;
        };
        if self.folder_status().other.as_ref() != Some(&reason) {
            tracing::error!(%reason, "the folder of packs is another one: nothing is unpublished unless it is confirmed");
            self.metrics.folder_errors.with_label_values(&["root"]).inc();
            self.change_status(|status| status.other = Some(reason));
        }
        Trust::Other
    }

    /// Takes what stands there for the folder of packs, once it lacks nothing or was confirmed.
    pub(super) async fn settle(&self, watcher: &mut Watcher, look: &Look, trust: Trust) {
        let (Some(root), true) = (look.root, look.is_root_listed) else { return };
        let was_full = watcher.before.as_ref().is_some_and(|before| before.tasks > 0);
        let is_awaited = trust == Trust::Other && look.is_empty && was_full && !watcher.home.is_known();
        self.change_status(|status| status.is_awaited = is_awaited);
        let is_trusted = match trust {
            Trust::Same | Trust::Confirmed => true,
            Trust::Other => !look.is_empty && watcher.losses.count() == 0,
        };
        if !is_trusted {
            return;
        }
        if trust != Trust::Same {
            watcher.home.forget_marker();
        }
        if let Err(error) = watcher.home.adopt(&**self.catalog.disk(), root) {
            tracing::debug!(%error, marker = MARKER_FILE, "the folder of packs is known by its inode alone");
        }
        self.change_status(|status| status.other = None);
        self.remember(watcher);
    }

    fn remember(&self, watcher: &Watcher) {
        let (Some(state), Some(marker)) = (&self.options.state, watcher.home.marker()) else { return };
        let known = Remembered { marker: marker.to_owned(), tasks: self.catalog.published() };
        if let Err(error) = memory::remember(state, self.catalog.root(), known) {
            tracing::warn!(%error, "which folder was served is not kept");
        }
    }
}
