//! How the folder of packs is watched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::{Disk, System};

/// How the folder of packs is watched, and which losses are believed.
#[derive(Clone, Debug)]
pub struct ReloadOptions {
    /// The disk it is read through.
    pub disk: Arc<dyn Disk>,
    /// How often the whole folder is scanned, in addition to notices.
    pub full_scan: Duration,
    /// Whether change notices are asked for.
    pub notices: bool,
    /// Largest share of the tasks that one look may lose and be believed, 0 to 1.
    pub max_loss: f64,
    /// How long a larger loss must last to be believed.
    pub loss_again: Duration,
    /// Folder that keeps, from one start to the next, which packs were verified and which folder was served.
    pub state: Option<PathBuf>,
    /// Whether to trust what stands in the folder's place at the start, whatever was there before.
    pub confirm_folder: bool,
    /// Whether a version that is first read for a request may answer before it has passed its self-test.
    pub verify_late: bool,
}

impl Default for ReloadOptions {
    fn default() -> Self {
        Self {
            disk: Arc::new(System),
            full_scan: Duration::from_secs(60),
            notices: true,
            max_loss: 0.2,
            loss_again: Duration::from_secs(5),
            state: None,
            confirm_folder: false,
            verify_late: false,
        }
    }
}
