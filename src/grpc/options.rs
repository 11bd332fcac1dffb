//! Options of this door.

use std::time::Duration;

/// Limits of messages; [`ServiceOptions`](crate::service::ServiceOptions) has the limits of what is in them.
#[derive(Clone, Copy, Debug)]
pub struct GrpcOptions {
    /// Largest message, bytes, compressed or not.
    pub payload_limit: usize,
    /// Longest time for a message.
    pub body_timeout: Duration,
}
