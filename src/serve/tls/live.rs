//! What is loaded now, and looking for changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::files::{Contents, Stamps};
use super::loaded::Loaded;
use super::options::TlsOptions;
use crate::errors;
use crate::metrics::Metrics;

/// What is served now.
pub(crate) struct Live {
    options: TlsOptions,
    current: ArcSwap<Loaded>,
    seen: Mutex<Seen>,
}

/// What the last look found.
struct Seen {
    stamps: Stamps,
    /// Whether a change since then shows in the stamps.
    is_settled: bool,
    /// Of what was read, or of why it could not be.
    digest: [u8; 32],
}

/// What a look at changed files led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Loaded,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Failed => "failed",
        }
    }
}

impl Live {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub(crate) fn open(options: TlsOptions) -> Result<Arc<Self>> {
        let stamps = Stamps::of(&options);
        let contents = Contents::read(&options).context("TLS")?;
        let loaded = Loaded::new(&contents, &options, 0).context("TLS")?;
        tell(&loaded, &options);
        let is_settled = stamps.are_settled(SystemTime::now());
        let seen = Mutex::new(Seen { stamps, is_settled, digest: contents.digest() });
        Ok(Arc::new(Self { options, current: ArcSwap::from_pointee(loaded), seen }))
    }

    /// What new connections are greeted with.
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Loaded>> {
        self.current.load()
    }

    /// Makes the series there are of TLS.
    pub(crate) fn announce(&self, metrics: &Metrics) {
        metrics.set_tls_expiry(self.current().until);
        for outcome in [Outcome::Loaded, Outcome::Failed] {
            // A series that is there from the start shows its first step.
            metrics.tls_reloads.with_label_values(&[outcome.as_str()]).inc_by(0);
        }
    }

    /// Looks for changes every `poll`, for ever.
    pub(crate) async fn watch(self: Arc<Self>, poll: Duration, metrics: Arc<Metrics>) {
        loop {
            tokio::time::sleep(poll).await;
            let looking = Arc::clone(&self);
            if let Ok(Some(outcome)) = tokio::task::spawn_blocking(move || looking.look()).await {
                metrics.set_tls_expiry(self.current().until);
                metrics.tls_reloads.with_label_values(&[outcome.as_str()]).inc();
            }
        }
    }

    /// Loads what changed; nothing when nothing did, or when it is the failure that was seen before.
    fn look(&self) -> Option<Outcome> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = Stamps::of(&self.options);
        if stamps == seen.stamps && seen.is_settled {
            return None;
        }
        let is_settled = stamps.are_settled(SystemTime::now());
        let read = Contents::read(&self.options);
        if Stamps::of(&self.options) != stamps {
            // They change right now: a mixture of old and new is judged at the next look.
            return None;
        }
        let digest = match &read {
            Ok(contents) => contents.digest(),
            Err(error) => Sha256::digest(errors::once(&**error)).into(),
        };
        let is_known = seen.digest == digest;
        *seen = Seen { stamps, is_settled, digest };
        if is_known { None } else { Some(self.load(read)) }
    }

    fn load(&self, read: Result<Contents>) -> Outcome {
        let number = self.current().number + 1;
        match read.and_then(|contents| Loaded::new(&contents, &self.options, number)) {
            Ok(loaded) => {
                tell(&loaded, &self.options);
                self.current.store(Arc::new(loaded));
                Outcome::Loaded
            }
            Err(error) => {
                let error = errors::once(&*error);
                tracing::error!(error, "TLS files are broken; those loaded before stay in use");
                Outcome::Failed
            }
        }
    }
}

/// Says what is served, and what is wrong with it.
fn tell(loaded: &Loaded, options: &TlsOptions) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
    let certificate = options.cert.display();
    let (from, until) = (time(loaded.from), time(loaded.until));
    tracing::info!(%certificate, until, client_certificates = options.clients(), "TLS is loaded");
    if loaded.until < now {
        tracing::warn!(%certificate, until, "the certificate has expired");
    }
    if loaded.from > now {
        tracing::warn!(%certificate, from, "the certificate does not hold yet");
    }
    if let Some(due) = loaded.revocations_until.filter(|due| *due < now) {
        tracing::warn!(
            due = time(due),
            "a list of revoked certificates is older than it should be; it still holds"
        );
    }
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}
