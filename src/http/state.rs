//! What handlers share.

use axum::http::HeaderMap;

use super::headers;
use super::options::HttpOptions;
use crate::oip::Protocol;
use crate::service::{Service, Spent};
use crate::tenants::{Caller, Scope};

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

    /// Whether a caller may know of what runs beside its own rows.
    pub(super) fn may_know_load(&self, caller: &Caller) -> bool {
        self.options.tells_load || caller.has(Scope::Admin)
    }

    /// Headers with what a request spent, as far as its caller may know.
    pub(super) fn headers(&self, caller: &Caller, spent: &Spent) -> HeaderMap {
        if self.may_know_load(caller) { headers::of_spent(spent) } else { headers::of_cost(spent) }
    }
}
