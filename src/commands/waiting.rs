//! A reactor for commands that wait for the network.

use anyhow::Result;

/// Runs a future to its end.
pub fn wait_for<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
