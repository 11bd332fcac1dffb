//! A classify request whose head has come and whose body is still coming.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;

use super::body::{self, Body};
use super::error::ApiError;
use super::headers;
use super::state::AppState;
use crate::engine::Priority;
use crate::oip::Arrived;
use crate::service::{Error, Held, Receiving, Terms};
use crate::tenants::Caller;

/// What a request's head says.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// When the answer is of no more use.
    pub(super) deadline: Instant,
    may_keep: bool,
    caller: Caller,
}

/// A body with the memory that it holds until both are dropped.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) held: Held,
}

impl Arrival {
    /// Reads the headers of a request that came at `at`.
    pub(super) fn new(
        state: &AppState,
        caller: &Caller,
        given: &HeaderMap,
        at: Instant,
    ) -> Result<Self, ApiError> {
        let options = state.service.options();
        let deadline = at + headers::timeout(given)?.unwrap_or(options.timeout);
        let may_keep = headers::may_keep(given)? && options.keeps_prefixes && caller.keeps_prefixes();
        headers::check(given)?;
        Ok(Self { deadline, may_keep, caller: caller.clone() })
    }

    /// Reads the body, which must have come by the deadline and within the time for bodies. Whoever sends slowly holds
    /// what has come and no row's place.
    pub(super) async fn read(&self, state: &AppState, request: Request) -> Result<Received, ApiError> {
        let mut held = state.service.hold(&self.caller);
        let limit = state.options.payload_limit;
        let body = self.in_time(state, body::read(request, limit, &mut held)).await?;
        Ok(Received { body, held })
    }

    /// Reads the body as it is, on the same terms.
    pub(super) async fn read_bytes(
        &self,
        state: &AppState,
        request: Request,
    ) -> Result<(Bytes, Held), ApiError> {
        let mut held = state.service.hold(&self.caller);
        let limit = state.options.payload_limit;
        let body = self.in_time(state, body::bytes(request, limit, &mut held)).await?;
        Ok((body, held))
    }

    /// Has the body written to the disk as it comes, on the same terms. Memory holds a piece of it.
    pub(super) async fn read_to(
        &self,
        state: &AppState,
        request: Request,
        receiving: &mut Receiving,
    ) -> Result<(), ApiError> {
        let limit = state.options.payload_limit;
        self.in_time(state, body::to_disk(request, limit, receiving)).await
    }

    /// What a door without a transport wants to know of this request, which came at `at`.
    pub(super) fn arrived(self, at: Instant) -> Arrived {
        Arrived { at, deadline: self.deadline, may_keep: self.may_keep, caller: self.caller }
    }

    /// What a body gives that must have come by the deadline and within the time for bodies.
    async fn in_time<T>(
        &self,
        state: &AppState,
        reading: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let longest = state.options.body_timeout;
        let end = self.deadline.min(Instant::now() + longest);
        match tokio::time::timeout_at(end.into(), reading).await {
            Ok(read) => read,
            Err(_) if end == self.deadline => Err(Error::late().into()),
            Err(_) => Err(ApiError::BodyTimeout { seconds: longest.as_secs() }),
        }
    }

    /// The terms of this request, which wants `top_k` predictions.
    pub(super) fn terms(self, top_k: usize) -> Terms {
        let Self { deadline, may_keep, caller } = self;
        let priority = Priority::default();
        Terms { top_k, wants_logits: false, may_keep, deadline, caller, priority }
    }
}
