//! What a comparison ends with when runs failed.

use anyhow::{Result, ensure};

/// Refuses to end well where runs failed.
///
/// # Errors
/// With the runs that failed.
pub(super) fn none_failed(failures: &[String]) -> Result<()> {
    ensure!(failures.is_empty(), "{} run(s) failed:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
