//! A connection's client certificate, and whether it still holds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::live::Live;
use super::loaded::Loaded;

/// How long a certificate is taken to hold while nothing changes: it or one above it may expire.
const HOLDS: Duration = Duration::from_secs(60);

/// A verified chain.
pub(crate) struct Trust {
    live: Arc<Live>,
    chain: Vec<CertificateDer<'static>>,
    names: Arc<[String]>,
    checked: Mutex<Checked>,
}

/// The last check.
#[derive(Clone, Copy)]
struct Checked {
    /// Which load it was made with.
    number: u64,
    at: Instant,
}

impl Trust {
    /// Of a chain that the load of that number verified.
    pub(super) fn new(
        live: Arc<Live>,
        chain: Vec<CertificateDer<'static>>,
        names: Vec<String>,
        number: u64,
    ) -> Self {
        let checked = Mutex::new(Checked { number, at: Instant::now() });
        Self { live, chain, names: names.into(), checked }
    }

    /// Whose it is.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    /// Whether it still holds: it is checked again when files changed, and every minute.
    pub(crate) fn holds(&self) -> bool {
        let current = self.live.current();
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if checked.number == current.number && now.duration_since(checked.at) < HOLDS {
            return true;
        }
        if !self.verifies(&current) {
            return false;
        }
        *checked = Checked { number: current.number, at: now };
        true
    }

    fn verifies(&self, loaded: &Loaded) -> bool {
        let (Some(verifier), Some((leaf, above))) = (&loaded.verifier, self.chain.split_first()) else {
            return false;
        };
        verifier.verify_client_cert(leaf, above, UnixTime::now()).is_ok()
    }
}
