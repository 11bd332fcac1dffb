//! Checks under way, so that one pack is checked once however many requests wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, Shared};

use super::error::Error;

/// A check that everybody who asks for the same pack waits for.
pub(super) type Check = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

/// Checks under way, by the pack's digest.
#[derive(Default)]
pub(super) struct Checks(Mutex<HashMap<String, Check>>);

impl Checks {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
