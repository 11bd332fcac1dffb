//! Whether a request's images may be kept and looked up, as it says itself by whatever door.

use super::error::Error;
use crate::text::brief;

/// The header, by HTTP or gRPC. With the value `off`, nothing of the request's images is kept or looked up: how fast an
/// answer comes tells whether somebody asked about the same image lately.
pub const PREFIX_CACHE: &str = "x-mimi-prefix-cache";

/// What a balancer in front may choose the replica by, instead of the task. It means nothing to a server.
pub const AFFINITY: &str = "x-mimi-affinity";

/// Whether a request with this value of [`PREFIX_CACHE`] lets its images be kept.
///
/// # Errors
/// [`Error::Invalid`] when it says neither.
pub fn may_keep(value: Option<&[u8]>) -> Result<bool, Error> {
    match value {
        None | Some(b"on") => Ok(true),
        Some(b"off") => Ok(false),
        Some(other) => {
            let other = brief(&String::from_utf8_lossy(other));
            Err(Error::Invalid(format!("{PREFIX_CACHE} = {other:?}: expected on or off")))
        }
    }
}
