//! What handlers share.

use super::options::GrpcOptions;
use crate::oip::Protocol;
use crate::service::Service;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Door {
    pub(super) service: Service,
    pub(super) protocol: Protocol,
    pub(super) options: GrpcOptions,
}
