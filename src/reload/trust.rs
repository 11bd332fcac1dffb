//! Whether what stands in the place of the folder of packs is the folder of packs.

use std::sync::Arc;

use super::blocking::blocking;
use super::home::{Found, MARKER_FILE, make_marker};
use super::losses::Trust;
use super::memory::{self, Remembered};
use super::reloader::Reloader;
use super::survey::Look;
use super::watcher::Watcher;
use crate::files::FileState;

impl Reloader {
    /// Whether the folder is the one that was trusted, and whether what it lacks can be believed.
    pub(super) fn trust(&self, watcher: &Watcher, look: &Look, confirmed: bool) -> Trust {
        let (Some(root), Some(marker)) = (look.root, &look.marker) else {
            let is_other = self.folder_status().other.is_some();
            return if is_other { Trust::Other } else { Trust::Same };
        };
        if confirmed {
            return Trust::Confirmed;
        }
        let found = match marker {
            Ok(marker) => watcher.home.compare(root, look.is_empty, marker.as_deref()),
            Err(reason) => Found::Other(format!("{MARKER_FILE} cannot be read: {reason}")),
        };
        let Found::Other(reason) = found else {
            self.change_status(|status| status.other = None);
            return Trust::Same;
        };
        if self.folder_status().other.as_ref() != Some(&reason) {
            tracing::error!(%reason, "the folder of packs is another one: nothing is unpublished unless it is confirmed");
            self.metrics.packs.folder_errors.with_label_values(&["root"]).inc();
            self.change_status(|status| status.other = Some(reason));
        }
        Trust::Other
    }

    /// Adopts what stands there as the folder of packs, once it lacks nothing or was confirmed.
    pub(super) async fn settle(&self, watcher: &mut Watcher, look: &Look, trust: Trust) {
        let (Some(root), Some(Ok(marker))) = (look.root, &look.marker) else { return };
        let was_full = watcher.before.as_ref().is_some_and(|before| before.tasks > 0);
        let is_awaited = trust == Trust::Other && look.is_empty && was_full && !watcher.home.is_known();
        self.change_status(|status| status.is_awaited = is_awaited);
        let is_trusted = match trust {
            Trust::Same | Trust::Confirmed => true,
            Trust::Other => !look.is_empty && watcher.losses.count() == 0,
        };
        if is_trusted {
            self.adopt(watcher, root, marker.clone()).await;
            self.change_status(|status| status.other = None);
            self.remember(watcher).await;
        }
    }

    async fn adopt(&self, watcher: &mut Watcher, root: FileState, marker: Option<String>) {
        let marker = match marker {
            Some(marker) => Some(marker),
            None => {
                let (disk, folder) = (Arc::clone(self.catalog.disk()), self.catalog.root().to_owned());
                let made = blocking(move || make_marker(&*disk, &folder).map_err(|e| e.to_string())).await;
                made.map_err(|e| e.to_string()).flatten().unwrap_or_else(|error| {
                    tracing::debug!(%error, "the folder of packs is known by its inode alone");
                    None
                })
            }
        };
        watcher.home.adopt(root, marker);
    }

    async fn remember(&self, watcher: &Watcher) {
        let (Some(state), Some(marker)) = (self.options.state.clone(), watcher.home.marker()) else { return };
        let known = Remembered { marker: marker.to_owned(), tasks: self.catalog.published() };
        let root = self.catalog.root().to_owned();
        let kept = blocking(move || memory::remember(&state, &root, known).map_err(|e| e.to_string())).await;
        if let Err(error) = kept.map_err(|e| e.to_string()).flatten() {
            tracing::warn!(%error, "which folder was served is not kept");
        }
    }
}
