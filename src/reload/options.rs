//! How the folder of packs is watched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::{Disk, System};

/// How the folder of packs is watched, and what is believed of it.
#[derive(Clone, Debug)]
pub struct ReloadOptions {
    /// What it is seen through.
    pub disk: Arc<dyn Disk>,
    /// How often all of it is looked at, whatever the notices tell.
    pub full_scan: Duration,
    /// Whether change notices are asked for.
    pub notices: bool,
    /// Largest share of the tasks that one look may lose and be believed, 0 to 1.
    pub max_loss: f64,
    /// How long more than that must stay lost to be believed.
    pub loss_again: Duration,
    /// Where what was verified, and which folder was served, is kept from one start to the next.
    pub state: Option<PathBuf>,
    /// Whether what stands in the folder's place at the start is right, whatever was there before.
    pub confirm_folder: bool,
    /// Whether a version that is read for a request answers before it has passed its self-test.
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
