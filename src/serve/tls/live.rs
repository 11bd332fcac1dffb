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
        self.show(metrics);
        for outcome in [Outcome::Loaded, Outcome::Failed] {
            // A series that is there from the start shows its first step.
            metrics.connections.tls_reloads.with_label_values(&[outcome.as_str()]).inc_by(0);
        }
    }

    fn show(&self, metrics: &Metrics) {
        let current = self.current();
        metrics.connections.set_tls_expiry(current.until);
        metrics.connections.set_tls_revocations_due(current.revocations_until);
    }

    /// Looks for changes every `poll`, for ever, and tells what runs out meanwhile.
    pub(crate) async fn watch(self: Arc<Self>, poll: Duration, metrics: Arc<Metrics>) {
        let mut told = Told::of(&self.current(), now());
        loop {
            tokio::time::sleep(poll).await;
            let looking = Arc::clone(&self);
            if let Ok(Some(outcome)) = tokio::task::spawn_blocking(move || looking.look()).await {
                self.show(&metrics);
                metrics.connections.tls_reloads.with_label_values(&[outcome.as_str()]).inc();
            }
            let found = Told::of(&self.current(), now());
            if found.is_news_after(&told) {
                warn(&self.current(), &self.options, now());
            }
            told = found;
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

/// What a load was warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    number: u64,
    has_expired: bool,
    is_overdue: bool,
}

impl Told {
    fn of(loaded: &Loaded, now: i64) -> Self {
        let is_overdue = loaded.revocations_until.is_some_and(|due| due < now);
        Self { number: loaded.number, has_expired: loaded.until < now, is_overdue }
    }

    /// Whether time alone brought something to warn of. What a load brings is told with it.
    fn is_news_after(&self, before: &Self) -> bool {
        let is_worse = (self.has_expired && !before.has_expired) || (self.is_overdue && !before.is_overdue);
        self.number == before.number && is_worse
    }
}

/// Says what is served, and what is wrong with it.
fn tell(loaded: &Loaded, options: &TlsOptions) {
    let certificate = options.cert.display();
    let until = time(loaded.until);
    tracing::info!(%certificate, until, client_certificates = options.asked(), "TLS is loaded");
    warn(loaded, options, now());
}

fn warn(loaded: &Loaded, options: &TlsOptions, now: i64) {
    let certificate = options.cert.display();
    let (from, until) = (time(loaded.from), time(loaded.until));
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

/// Seconds since the epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed())
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_out_is_told_once_for_each_load() {
        let fine = Told { number: 1, has_expired: false, is_overdue: false };
        let overdue = Told { is_overdue: true, ..fine };
        let expired = Told { has_expired: true, ..overdue };
        assert!(overdue.is_news_after(&fine) && expired.is_news_after(&overdue));
        assert!(!overdue.is_news_after(&overdue) && !fine.is_news_after(&overdue));
        let loaded = Told { number: 2, ..overdue };
        assert!(!loaded.is_news_after(&fine), "a load tells what is wrong with it");
    }
}
