//! Limits of this door.

use std::time::Duration;

/// Limits of bodies; [`ServiceOptions`](crate::service::ServiceOptions) has the limits of what is in them.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Largest body, bytes.
    pub payload_limit: usize,
    /// Longest time for a body.
    pub body_timeout: Duration,
}
