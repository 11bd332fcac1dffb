//! Work for the threads that may wait for a disk.

use super::error::Error;

/// Runs `work` on the blocking pool.
///
/// # Errors
/// [`Error::Interrupted`] when the pool ends before the work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Interrupted(e.to_string()))
}
