//! How the folder of packs is watched.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mimi_server::reload::ReloadOptions;

/// Name of the server's folder inside the user's folder of caches.
const STATE_NAME: &str = "mimi-server";

/// Options about the folder of packs.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// How often the whole folder of packs is checked, in addition to change notices, seconds.
    #[arg(long, env = "MIMI_SCAN_SECS", default_value_t = 60)]
    scan_secs: u64,
    /// Use no change notices. Compare the times of folders in turn, as on network file systems.
    #[arg(long, env = "MIMI_NO_NOTICES")]
    no_notices: bool,
    /// Largest share of the tasks, percent, that is unpublished at once when it vanishes at once. A larger
    /// share must stay away for five seconds.
    #[arg(long, env = "MIMI_MAX_LOSS", default_value_t = 20, value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    max_loss: u8,
    /// Folder that remembers, from one start to the next, which packs passed their self-test and which folder
    /// of packs was served. "none" remembers nothing. Default: mimi-server in $XDG_CACHE_HOME or
    /// $HOME/.cache, if there is one.
    #[arg(long, env = "MIMI_STATE", value_name = "DIR")]
    state: Option<OsString>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    xdg_cache_home: Option<OsString>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<OsString>,
    /// Accept the folder of packs as it is at the start, even if it is empty and had tasks before. While the
    /// server runs, `POST /v1/folder/confirm` does the same.
    #[arg(long, env = "MIMI_CONFIRM_FOLDER")]
    confirm_folder: bool,
    /// Let a version answer its first request before it has passed its self-test. A version that then fails
    /// is withdrawn.
    #[arg(long, env = "MIMI_VERIFY_LATE")]
    verify_late: bool,
}

impl FolderArgs {
    /// What the options mean.
    pub fn options(&self) -> ReloadOptions {
        ReloadOptions {
            full_scan: Duration::from_secs(self.scan_secs.max(1)),
            notices: !self.no_notices,
            max_loss: f64::from(self.max_loss) / 100.0,
            state: self.state(),
            confirm_folder: self.confirm_folder,
            verify_late: self.verify_late,
            ..ReloadOptions::default()
        }
    }

    fn state(&self) -> Option<PathBuf> {
        // An empty variable counts as unset.
        match self.state.as_ref().filter(|state| !state.is_empty()) {
            Some(state) if state == "none" => None,
            Some(state) => Some(state.into()),
            None => {
                let caches = absolute(self.xdg_cache_home.as_ref());
                let caches = caches.or_else(|| Some(absolute(self.home.as_ref())?.join(".cache")));
                caches.map(|caches| caches.join(STATE_NAME))
            }
        }
    }
}

/// The XDG specification: a path that is not absolute is ignored.
fn absolute(path: Option<&OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}
