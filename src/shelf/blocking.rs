//! Work for the threads that may wait for a disk.

use super::error::Error;

/// Runs work that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let lost = |e: tokio::task::JoinError| Error::Io {
        path: "disk".into(),
        source: std::io::Error::other(e.to_string()),
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}
