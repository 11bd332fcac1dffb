//! Publishing on request, admitted like everything else.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::Error;
use super::handle::{CONFIRMATIONS_AT_ONCE, RELOADS_AT_ONCE, Service};
use crate::audit::Event;
use crate::pack::{TaskId, Upload};
use crate::reload::{self, FolderStatus};
use crate::tenants::{Account, Caller, Turn};

impl Service {
    /// Publishes the newest version in the folder of a task that the caller may change, and gives its number. A task that
    /// was unloaded answers again. When that fails, what was live stays live, and what was unloaded stays so.
    ///
    /// # Errors
    /// [`Error::Publishing`], and why the version was not published.
    pub async fn reload(&self, caller: &Caller, task: &TaskId) -> Result<u64, Error> {
        self.may_change(caller, task)?;
        let (service, caller, task) = (self.clone(), caller.clone(), task.clone());
        whole(async move {
            let who = caller.who();
            service.published(&caller, &task, service.shared.reloader.reload(&task, &who)).await
        })
        .await
    }

    /// Publishes a version that came with a request, of a task that the caller may change; else as [`Service::reload`].
    ///
    /// # Errors
    /// As [`Service::reload`], and when the number is not newer than the newest version's.
    pub async fn receive(
        &self,
        caller: &Caller,
        task: &TaskId,
        version: u64,
        upload: Upload,
    ) -> Result<u64, Error> {
        self.may_change(caller, task)?;
        let (service, caller, task) = (self.clone(), caller.clone(), task.clone());
        whole(async move {
            let who = caller.who();
            let received = service.shared.reloader.receive(&task, version, upload, &who);
            service.published(&caller, &task, async { received.await.map(|()| version) }).await
        })
        .await
    }

    /// Has a version published, in turn.
    async fn published(
        &self,
        caller: &Caller,
        task: &TaskId,
        publishing: impl Future<Output = Result<u64, reload::Error>>,
    ) -> Result<u64, Error> {
        let turns = self.turns(caller)?;
        self.published_in(turns, task, publishing).await
    }

    /// What it takes to publish: the tenant's turn, so that none takes all places, and a place.
    pub(super) fn turns(&self, caller: &Caller) -> Result<Turns<'_>, Error> {
        let own = own_turn(caller, Account::publishing)?;
        Ok((own, self.turn(&self.shared.reloads, RELOADS_AT_ONCE)?))
    }

    /// Has a version published by whoever has its turns.
    pub(super) async fn published_in<T>(
        &self,
        _turns: Turns<'_>,
        task: &TaskId,
        publishing: impl Future<Output = Result<T, reload::Error>>,
    ) -> Result<T, Error> {
        let seen = self.shared.catalog.unload_of(task);
        let published = publishing.await.map_err(|error| self.reload_error(&error))?;
        self.shared.catalog.readmit(task, seen);
        Ok(published)
    }

    /// Has a task that the caller may change answer nothing until it is loaded, whatever appears in its folder.
    ///
    /// # Errors
    /// When there is no such task, or the caller may not change it.
    pub async fn unload(&self, caller: &Caller, task: &TaskId) -> Result<(), Error> {
        self.may_change(caller, task)?;
        if !self.shared.catalog.unload(task).await {
            return Err(self.unknown(task));
        }
        self.audit().record(&caller.who(), &Event::Unloaded { task: task.to_string() });
        Ok(())
    }

    /// Refuses callers that may not change a task.
    pub(super) fn may_change(&self, caller: &Caller, task: &TaskId) -> Result<(), Error> {
        caller.asks(task);
        if !caller.may_see(task) {
            return Err(self.unknown(task));
        }
        if caller.may_change(task) {
            return Ok(());
        }
        let event = Event::ScopeRefused { scope: "publish", task: Some(task.to_string()) };
        self.audit().record(&caller.who(), &event);
        Err(Error::Forbidden("the task is shared with this tenant, which may not publish it"))
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

    /// A place among those that are served.
    fn turn<'a>(&self, places: &'a Semaphore, limit: usize) -> Result<SemaphorePermit<'a>, Error> {
        places.try_acquire().map_err(|_| Error::Publishing { limit })
    }
}

/// What a publication holds while it lasts.
pub(super) type Turns<'a> = (Option<Turn>, SemaphorePermit<'a>);

/// A turn of which a tenant has one at a time.
pub(super) fn own_turn(
    caller: &Caller,
    turn: impl Fn(&Account) -> Option<Turn>,
) -> Result<Option<Turn>, Error> {
    let turn = caller.tenant().map(|tenant| turn(tenant.account()));
    turn.map(|turn| turn.ok_or(Error::Publishing { limit: 1 })).transpose()
}

/// Ends what was begun, though its client may go away: half a publication would be neither told nor noted.
pub(super) async fn whole<T: Send + 'static>(
    publishing: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(publishing).await.map_err(|error| Error::Internal(error.to_string()))?
}
