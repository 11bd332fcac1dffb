//! Publishing on request, admitted like everything else.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::code::Code;
use super::error::Error;
use super::handle::{CONFIRMATIONS_AT_ONCE, RELOADS_AT_ONCE, Service};
use crate::audit::{Event, Who};
use crate::metrics::NO_TASK;
use crate::pack::TaskId;
use crate::reload::FolderStatus;

impl Service {
    /// Publishes the newest version in the task's folder, and gives its number. When that fails, what was live stays
    /// live.
    ///
    /// # Errors
    /// [`Error::Publishing`], and why the version was not published.
    pub async fn reload(&self, task: &TaskId) -> Result<u64, Error> {
        let _admitted = self.admit(&self.shared.reloads, RELOADS_AT_ONCE)?;
        let version = self.shared.reloader.reload(task).await.map_err(|error| self.reload_error(&error))?;
        self.audit().record(&Who::default(), &Event::Reload { task: task.to_string(), version });
        Ok(version)
    }

    /// Confirms that what stands in the place of the folder of packs is right, and gives how many tasks that unpublished.
    ///
    /// # Errors
    /// [`Error::Publishing`], and why the folder cannot be listed.
    pub async fn confirm(&self) -> Result<usize, Error> {
        let _admitted = self.admit(&self.shared.confirmations, CONFIRMATIONS_AT_ONCE)?;
        let confirmed = self.shared.reloader.confirm().await;
        let unpublished = confirmed.map_err(|error| self.reload_error(&error))?;
        self.audit().record(&Who::default(), &Event::Confirm { unpublished: unpublished as u64 });
        Ok(unpublished)
    }

    /// The folder of packs, as a caller is told it.
    pub fn folder(&self) -> FolderStatus {
        let mut status = self.shared.reloader.folder_status();
        for text in [&mut status.error, &mut status.other, &mut status.notices].into_iter().flatten() {
            *text = self.told(text);
        }
        status
    }

    /// A place among those that are served, or a refusal that is counted.
    fn admit<'a>(&self, places: &'a Semaphore, limit: usize) -> Result<SemaphorePermit<'a>, Error> {
        places.try_acquire().map_err(|_| {
            self.count(NO_TASK, Code::Overloaded);
            Error::Publishing { limit }
        })
    }
}
