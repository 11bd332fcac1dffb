//! What handlers share.

use super::options::HttpOptions;
use crate::service::Service;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub(super) service: Service,
    pub(super) options: HttpOptions,
}

impl AppState {
    /// Opens this door to a service.
    pub fn new(service: Service, options: HttpOptions) -> Self {
        Self { service, options }
    }
}
