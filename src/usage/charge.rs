//! What is counted.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The tenant of requests on a server without tenants.
pub const NO_TENANT: &str = "none";
/// Stands for several keys or tasks, where there were too many to tell apart.
pub(super) const SEVERAL: &str = "*";

/// Whom a charge is for. Names come from the tenants' file and the catalog, never from a request's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Billed {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The id of the key, if one was shown.
    pub key: Option<Arc<str>>,
    /// The task, if one was found.
    pub task: Option<Arc<str>>,
}

impl Billed {
    /// The same tenant with every key and task.
    pub(super) fn folded(&self) -> Self {
        Self { tenant: Arc::clone(&self.tenant), key: Some(SEVERAL.into()), task: Some(SEVERAL.into()) }
    }
}

/// What a request used, or a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Requests: 1 at a request's end, 0 for a part.
    pub requests: u64,
    /// Images.
    pub images: u64,
    /// Rows run on the engine: an image under two tasks is two rows.
    pub rows: u64,
    /// Floating-point operations, a multiply-add counting as 2.
    pub flops: u64,
    /// Time of the device.
    pub device: Duration,
    /// Bytes of the body that came.
    pub bytes_in: u64,
    /// Bytes of the body that went.
    pub bytes_out: u64,
    /// Requests refused at the door.
    pub refused: u64,
    /// The code that requests ended with; they have no series where there is none.
    pub code: Option<&'static str>,
}

/// A sum of charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sum {
    /// Requests.
    pub requests: u64,
    /// Images.
    pub images: u64,
    /// Rows.
    pub rows: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Time of the device, microseconds.
    pub device_us: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that went.
    pub bytes_out: u64,
    /// Requests refused at the door.
    pub refused: u64,
}

impl From<&Charge> for Sum {
    fn from(charge: &Charge) -> Self {
        let Charge { requests, images, rows, flops, device, bytes_in, bytes_out, refused, code: _ } = *charge;
        // Rounded, so that many short times do not vanish.
        let device_us = u64::try_from((device.as_nanos() + 500) / 1000).unwrap_or(u64::MAX);
        Self { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused }
    }
}

impl Sum {
    /// The fields by name, in the order of columns.
    pub const NAMES: [&str; 8] =
        ["requests", "images", "rows", "flops", "device_us", "bytes_in", "bytes_out", "refused"];

    /// The numbers, in the order of [`Sum::NAMES`].
    pub fn numbers(&self) -> [u64; 8] {
        let Self { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused } = *self;
        [requests, images, rows, flops, device_us, bytes_in, bytes_out, refused]
    }

    /// Adds another sum; a number that would be too large stays at the largest.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.images = self.images.saturating_add(other.images);
        self.rows = self.rows.saturating_add(other.rows);
        self.flops = self.flops.saturating_add(other.flops);
        self.device_us = self.device_us.saturating_add(other.device_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.refused = self.refused.saturating_add(other.refused);
    }

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
