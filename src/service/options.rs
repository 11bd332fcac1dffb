//! Limits of the service.

use std::time::Duration;

use crate::image::Limits;

/// Limits that hold behind every door.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Most images in one request.
    pub max_images: usize,
    /// Most tasks in one request.
    pub max_tasks: usize,
    /// Deadline of a request that names none.
    pub timeout: Duration,
    /// Most memory that all requests hold together, bytes: bodies, and images being decoded.
    pub bytes_in_flight: u64,
    /// Images decoded at once.
    pub decoders: usize,
    /// Whether what frozen blocks give for images may be kept, unless a request says no.
    pub keeps_prefixes: bool,
    /// Whether every caller is told how long its rows waited and with how many others they ran. Otherwise only a caller
    /// with the scope `admin` is, or everybody on a server without tenants.
    pub tells_load: bool,
    /// Limits of one image.
    pub image: Limits,
}
