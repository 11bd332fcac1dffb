//! The engine's threads, from the first to the last.

use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::error::Error;
use crate::runtime;

/// Threads that are waited for.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts one.
    pub(super) fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let failed = |e: std::io::Error| {
            let (action, reason) = (format!("start thread {name}"), e.to_string());
            Error::from(runtime::Error::Call { action, reason })
        };
        let thread = Builder::new().name(name.clone()).spawn(body).map_err(failed)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Waits until all have ended.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("an engine thread panicked");
            }
        }
    }
}
