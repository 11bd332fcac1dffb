//! From an address to a source.

use std::path::PathBuf;
use std::sync::Arc;

use super::cache::Cache;
use super::connect::{Settings, is_store};
use super::error::Error;
use super::folder::Folder;
use super::objects::Objects;
use super::source::PackSource;
use crate::metrics::Metrics;

/// Opens the source at an address: a folder, or a store with the settings of its cloud. Stores' packs are copied to
/// `cache`, where they are to be read.
///
/// # Errors
/// When the address is none, or a folder cannot be used.
pub fn open_source(
    address: &str,
    settings: &Settings,
    cache: Option<Cache>,
) -> Result<Arc<dyn PackSource>, Error> {
    if !is_store(address) {
        return Ok(Arc::new(Folder::new(PathBuf::from(address))));
    }
    let metrics =
        Metrics::new().map_err(|e| Error::Address { address: address.into(), reason: e.to_string() })?;
    Ok(Arc::new(Objects::open(address, settings, cache, Arc::new(metrics))?))
}
