//! Where versions are read: in the folder of packs, or in copies of a store's packs.

use std::path::Path;
use std::sync::Arc;

use super::publish::list_versions;
use super::table::Catalog;
use crate::files::Disk;
use crate::pack::{self, Base, TaskId};
use crate::shelf::{Error, Labels, Objects, Place};

impl Catalog {
    /// The catalog whose packs come from a store instead of a folder.
    #[must_use]
    pub fn with_store(self, store: Option<Arc<Objects>>) -> Self {
        Self { store, ..self }
    }

    /// The store that packs come from, if it is one.
    pub fn store(&self) -> Option<&Arc<Objects>> {
        self.store.as_ref()
    }

    /// Reads something of a version, on a thread that may wait for the disk. A store's pack is fetched if need be, and held
    /// meanwhile; a copy of it that is broken is fetched once more.
    ///
    /// # Errors
    /// What `read` says, and [`pack::Error::Fetch`].
    pub async fn read_version<T: Send + 'static>(
        &self,
        task: &TaskId,
        version: u64,
        read: impl Fn(&dyn Disk, &Path, &Base) -> Result<T, pack::Error> + Clone + Send + 'static,
    ) -> Result<T, pack::Error> {
        let first = self.place(task, version).await?;
        let is_copy = first.is_copy();
        match self.read_place(first, read.clone()).await {
            Err(error) if is_copy && !error.is_of_reading() => {
                if let Some(store) = &self.store {
                    store.discard(task, version).await;
                }
                self.read_place(self.place(task, version).await?, read).await
            }
            read => read,
        }
    }

    async fn read_place<T: Send + 'static>(
        &self,
        place: Place,
        read: impl FnOnce(&dyn Disk, &Path, &Base) -> Result<T, pack::Error> + Send + 'static,
    ) -> Result<T, pack::Error> {
        let (disk, base, folder) = (Arc::clone(&self.disk), self.base.clone(), place.folder().to_owned());
        let read = tokio::task::spawn_blocking(move || read(&*disk, place.folder(), &base)).await;
        let interrupted = |e: tokio::task::JoinError| std::io::Error::other(e.to_string());
        read.map_err(interrupted).map_err(pack::Error::io(folder))?
    }

    async fn place(&self, task: &TaskId, version: u64) -> Result<Place, pack::Error> {
        match &self.store {
            None => Ok(Place::of(self.folder(task, version))),
            Some(store) => store.place(task, version).await.map_err(|error| fetch_error(&error)),
        }
    }

    /// Whether labels in a task's folder say which version answers. Labels that cannot be read are there.
    pub(super) async fn has_labels(&self, task: &TaskId) -> bool {
        let (disk, folder) = (Arc::clone(&self.disk), self.root.join(task.as_str()));
        let read = tokio::task::spawn_blocking(move || Labels::read(&*disk, &folder)).await;
        !matches!(read, Ok(Ok(None)))
    }

    /// A task's versions, ascending.
    ///
    /// # Errors
    /// When its folder cannot be listed.
    pub async fn versions(&self, task: &TaskId) -> std::io::Result<Vec<u64>> {
        if let Some(store) = &self.store {
            let pointer = store.known(task);
            return Ok(pointer.map(|pointer| pointer.versions.keys().copied().collect()).unwrap_or_default());
        }
        let (disk, folder) = (Arc::clone(&self.disk), self.root.join(task.as_str()));
        let listed = tokio::task::spawn_blocking(move || list_versions(&*disk, &folder)).await;
        listed.map_err(|e| std::io::Error::other(e.to_string()))?
    }
}

/// A pack that does not come says nothing about its version: its blob may come later than its pointer, or be put again.
fn fetch_error(error: &Error) -> pack::Error {
    match error {
        Error::Shared(error) => fetch_error(error),
        // Its bytes are those that were published, and are no pack.
        Error::Pack(pack::Error::Archive { path, reason }) => {
            pack::Error::Archive { path: path.clone(), reason: reason.clone() }
        }
        error => {
            // Callers and a task's status get what is kept of it; why the store does not answer is logged where it is asked.
            tracing::debug!(%error, "a pack was not fetched");
            pack::Error::Fetch { reason: error.told(), is_passing: error.is_passing() }
        }
    }
}
