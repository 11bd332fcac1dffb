//! What handlers share.

use std::time::Instant;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::headers;
use super::options::HttpOptions;
use crate::oip::Protocol;
use crate::service::{Ending, Maker, Service, Spent};
use crate::tenants::Caller;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub(super) service: Service,
    pub(super) options: HttpOptions,
    pub(super) protocol: Protocol,
}

impl AppState {
    /// Opens this door to a service.
    pub fn new(service: Service, options: HttpOptions) -> Self {
        Self { protocol: Protocol::new(service.clone()), service, options }
    }

    /// Counts a request that was about one task, or none, and gives its answer.
    pub(super) fn ended(
        &self,
        caller: &Caller,
        task: &str,
        outcome: Result<Response, ApiError>,
        arrived: Instant,
    ) -> Response {
        let took = arrived.elapsed();
        self.service.count(Some(caller), task, ending(&outcome), Some(took));
        self.service.took(took);
        outcome.into_response()
    }

    /// Counts a request that changes what is served, and gives its answer.
    pub(super) fn changed<T: IntoResponse>(
        &self,
        caller: &Caller,
        task: &str,
        outcome: Result<T, ApiError>,
    ) -> Response {
        self.service.count(Some(caller), task, ending(&outcome), None);
        outcome.into_response()
    }

    /// Headers with what made an answer, and what it spent as far as its caller may know.
    pub(super) fn headers(&self, caller: &Caller, maker: &Maker, spent: &Spent) -> HeaderMap {
        let knows_load = self.service.may_know_load(caller);
        let mut told = headers::of_spent(spent, knows_load);
        told.extend(headers::of_maker(maker));
        told
    }
}

fn ending<T>(outcome: &Result<T, ApiError>) -> Ending {
    outcome.as_ref().map_or_else(ApiError::ending, |_| Ending::OK)
}
