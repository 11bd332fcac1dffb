//! Packs that have failed lately.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;

/// How long a pack that does not give its stored answers is not asked for them again.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Most such packs that are remembered.
const KEPT: u64 = 1_000;

/// Packs that did not give their stored answers lately, by digest. Without them each request would run the self-test.
#[derive(Debug)]
pub(super) struct Failed(moka::future::Cache<String, Arc<Error>>);

impl Default for Failed {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(KEPT).time_to_live(REMEMBERED).build())
    }
}

impl Failed {
    /// Why a pack failed lately, if it did.
    pub(super) async fn reason(&self, digest: &str) -> Option<Arc<Error>> {
        self.0.get(digest).await
    }

    /// Remembers why a pack failed, where its answers are wrong: anything else may pass.
    pub(super) async fn add(&self, digest: &str, error: &Arc<Error>) {
        if error.is_of_self_test() {
            self.0.insert(digest.to_owned(), Arc::clone(error)).await;
        }
    }
}
