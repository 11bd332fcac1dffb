//! A version that comes as a body: written to the disk as it comes, then verified and published.

use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::error::Error;
use super::handle::{Service, UPLOADS_AT_ONCE};
use super::publishing::{Turns, own_turn, whole};
use crate::pack::TaskId;
use crate::reload;
use crate::shelf::{self, Incoming};
use crate::tenants::{Account, Caller, Turn};

/// How long a version that has come waits for its turn to be published.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two tries.
const STEP: Duration = Duration::from_millis(20);

/// A version of which a part has come. Dropping it forgets what came.
pub struct Receiving {
    service: Service,
    caller: Caller,
    task: TaskId,
    version: u64,
    incoming: Incoming,
    /// The tenant's turn.
    own: Option<Turn>,
    /// A place among all that come.
    place: OwnedSemaphorePermit,
}

impl Service {
    /// Begins to take in a version, as a `.mipack`, of a task that the caller may change.
    ///
    /// # Errors
    /// [`Error::Publishing`], when the caller may not change the task, and when the disk takes nothing.
    pub async fn receiving(&self, caller: &Caller, task: &TaskId, version: u64) -> Result<Receiving, Error> {
        self.may_change(caller, task)?;
        let own = own_turn(caller, Account::receiving)?;
        let place = self.shared.uploads.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::Publishing { limit: UPLOADS_AT_ONCE })?;
        let incoming =
            self.shared.reloader.incoming(task).await.map_err(|error| self.reload_error(&error))?;
        let (service, caller, task) = (self.clone(), caller.clone(), task.clone());
        Ok(Receiving { service, caller, task, version, incoming, own, place })
    }
}

impl Receiving {
    /// Takes the next piece.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.incoming.write(piece).await.map_err(|error| failed(&self.service, &self.task, error))
    }

    /// Publishes what came, once it has given its stored answers; else as [`Service::reload`]. Gives the SHA-256 of the
    /// archive.
    ///
    /// # Errors
    /// As [`Service::reload`], when the number is not newer than the newest version's, unless the bytes are the same, and
    /// [`Error::MemoryFull`]: a pack is read into memory to be verified.
    pub async fn publish(self) -> Result<String, Error> {
        let Self { service, caller, task, version, incoming, own, place } = self;
        whole(async move {
            let _places = (own, place);
            let archive = incoming.finish().await.map_err(|error| failed(&service, &task, error))?;
            let turns = turns_in_time(&service, &caller).await?;
            let mut held = service.hold(&caller);
            held.take(usize::try_from(archive.bytes()).unwrap_or(usize::MAX))?;
            let who = caller.who();
            let received = service.shared.reloader.receive_archive(&task, version, archive, &who);
            Ok(service.published_in(turns, &task, received).await?.to_string())
        })
        .await
    }
}

/// What it takes to publish, waited for: what came would have to be sent again.
async fn turns_in_time<'a>(service: &'a Service, caller: &Caller) -> Result<Turns<'a>, Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        match service.turns(caller) {
            Err(Error::Publishing { .. }) if Instant::now() < end => sleep(STEP).await,
            turns => return turns,
        }
    }
}

/// A failure of the disk, as a caller is told it.
fn failed(service: &Service, task: &TaskId, error: shelf::Error) -> Error {
    service.reload_error(&reload::source_error(task, error))
}
