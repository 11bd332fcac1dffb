//! Publishing on request, admitted like everything else.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::code::Code;
use super::error::Error;
use super::handle::{CONFIRMATIONS_AT_ONCE, RELOADS_AT_ONCE, Service};
use crate::audit::Event;
use crate::metrics::NO_TASK;
use crate::pack::TaskId;
use crate::reload::FolderStatus;
use crate::tenants::Caller;

impl Service {
    /// Publishes the newest version in the folder of a task that the caller may change, and gives its number. When that
    /// fails, what was live stays live.
    ///
    /// # Errors
    /// [`Error::Publishing`], and why the version was not published.
    pub async fn reload(&self, caller: &Caller, task: &TaskId) -> Result<u64, Error> {
        if !caller.may_see(task) {
            return Err(self.unknown(task));
        }
        if !caller.may_change(task) {
            let event = Event::ScopeRefused { scope: "publish", task: Some(task.to_string()) };
            self.audit().record(&caller.who(), &event);
            return Err(Error::Forbidden("the task is shared with this tenant, which may not publish it"));
        }
        let account = caller.tenant().map(|tenant| tenant.account().publishing());
        // One at a time for each tenant, so that none takes all places.
        let _own = account.map(|turn| turn.ok_or(Error::Publishing { limit: 1 })).transpose()?;
        let _admitted = self.turn(&self.shared.reloads, RELOADS_AT_ONCE)?;
        let reloaded = self.shared.reloader.reload(task, &caller.who()).await;
        reloaded.map_err(|error| self.reload_error(&error))
    }

    /// Confirms that what stands in the place of the folder of packs is right, and gives how many tasks that unpublished.
    ///
    /// # Errors
    /// [`Error::Publishing`], and why the folder cannot be listed.
    pub async fn confirm(&self, caller: &Caller) -> Result<usize, Error> {
        let _admitted = self.turn(&self.shared.confirmations, CONFIRMATIONS_AT_ONCE)?;
        let confirmed = self.shared.reloader.confirm().await;
        let unpublished = confirmed.map_err(|error| self.reload_error(&error))?;
        self.audit().record(&caller.who(), &Event::Confirm { unpublished: unpublished as u64 });
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
    fn turn<'a>(&self, places: &'a Semaphore, limit: usize) -> Result<SemaphorePermit<'a>, Error> {
        places.try_acquire().map_err(|_| {
            self.count(None, NO_TASK, Code::Overloaded);
            Error::Publishing { limit }
        })
    }
}
