//! A message as it is answered and counted.

use std::future::Future;

use tonic::{Request, Response, Status};

use crate::grpc::door::Door;
use crate::grpc::receive::Arrival;
use crate::grpc::status::failed;
use crate::service::{Code, Error};
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
    /// Answers a method that is about one task, and counts it.
    pub(super) async fn about<M, A, F: Future<Output = Result<A, Error>>>(
        &self,
        request: Request<M>,
        task: impl FnOnce(&M) -> &str,
        method: impl FnOnce(Self, Asked<M>) -> F,
    ) -> Result<Response<A>, Status> {
        let asked = Asked::of(request).map_err(|error| failed(&error))?;
        let (task, caller) = (task(&asked.message).to_owned(), asked.caller.clone());
        let deadline = asked.arrival.deadline;
        let answered = tokio::time::timeout_at(deadline.into(), method(self.clone(), asked)).await;
        let answered = answered.unwrap_or_else(|_| Err(Error::late()));
        self.service.count(Some(&caller), &task, answered.as_ref().map_or_else(Error::code, |_| Code::Ok));
        answered.map(Response::new).map_err(|error| failed(&error))
    }
}

/// A version as it is asked for; the empty one is any.
pub(super) fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
