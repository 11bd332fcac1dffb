//! A message as it is answered, and counted where it changes something.

use std::future::Future;

use tonic::{Request, Response, Status};

use crate::grpc::door::Door;
use crate::grpc::receive::Arrival;
use crate::grpc::status::failed;
use crate::service::{Ending, Error};
use crate::tenants::Caller;

/// A message with who sent it, and when.
pub(super) struct Asked<M> {
    pub(super) message: M,
    pub(super) caller: Caller,
    pub(super) arrival: Arrival,
}

impl<M> Asked<M> {
    /// Takes apart what the layers have put together; without them nobody is let in.
    pub(super) fn of(request: Request<M>) -> Result<Self, Error> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned().ok_or(Error::Unauthenticated)?;
        let arrival = extensions.get::<Arrival>().cloned().ok_or(Error::Unauthenticated)?;
        Ok(Self { message: request.into_inner(), caller, arrival })
    }
}

impl Door {
    /// Answers a method that reads. As with every door, reading is not counted.
    pub(super) async fn read<M, A, F: Future<Output = Result<A, Error>>>(
        &self,
        request: Request<M>,
        method: impl FnOnce(Self, Asked<M>) -> F,
    ) -> Result<Response<A>, Status> {
        let asked = Asked::of(request).map_err(|error| failed(&error))?;
        let answered = self.in_time(asked, method).await;
        answered.map(Response::new).map_err(|error| failed(&error))
    }

    /// Answers a method that changes one task, and counts it.
    pub(super) async fn change<M, A, F: Future<Output = Result<A, Error>>>(
        &self,
        request: Request<M>,
        task: impl FnOnce(&M) -> &str,
        method: impl FnOnce(Self, Asked<M>) -> F,
    ) -> Result<Response<A>, Status> {
        let asked = Asked::of(request).map_err(|error| failed(&error))?;
        let (task, caller) = (task(&asked.message).to_owned(), asked.caller.clone());
        let answered = self.in_time(asked, method).await;
        self.service.count(Some(&caller), &task, Ending::of(&answered), None);
        answered.map(Response::new).map_err(|error| failed(&error))
    }

    async fn in_time<M, A, F: Future<Output = Result<A, Error>>>(
        &self,
        asked: Asked<M>,
        method: impl FnOnce(Self, Asked<M>) -> F,
    ) -> Result<A, Error> {
        let deadline = asked.arrival.deadline;
        let answered = tokio::time::timeout_at(deadline.into(), method(self.clone(), asked)).await;
        answered.unwrap_or_else(|_| Err(Error::late()))
    }
}

/// A version as it is asked for; the empty one is any.
pub(super) fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
