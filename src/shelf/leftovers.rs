//! What crashes leave in a folder of packs.

use std::fs;
use std::path::Path;

use super::error::Error;
use super::source::Sweep;

/// Removes what crashes left half-written or half-removed, and tells how much that was.
pub(super) fn leftovers(folder: &Path, sweep: Sweep) -> Result<usize, Error> {
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let age = fs::symlink_metadata(&path).and_then(|found| found.modified()).ok();
        let is_old = age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > sweep.grace);
        if name.starts_with('.') && name.ends_with(".partial") && is_old {
            count += 1;
            if !sweep.is_dry {
                let removed = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                removed.map_err(Error::io(&path))?;
            }
        }
    }
    Ok(count)
}
