//! New versions, from folder to live: read, check, compile, warm, publish. One at a time.
//!
//! A version is read and checked, its program is compiled if none is installed for its sites, and its self-test runs on
//! the engine that will serve it. Only then is one entry of the catalog swapped. A failure leaves the catalog as it was;
//! the version is tried again when its files change or, where they could not be read, by itself.
//!
//! | file | holds |
//! |---|---|
//! | `reloader` | [`Reloader`], its parts |
//! | `publish` | a version, from folder to live |
//! | `addressed` | [`Reloader::check_named`]: which versions a request may name |
//! | `first_reading` | [`Reloader::pin`]: a cold version is verified before it answers |
//! | `reading`, `self_test`, `checks`, `failed`, `verdicts` | stored answers, and which packs have given them |
//! | `survey`, `watched` | what has changed in the folder of packs |
//! | `home`, `memory`, `trust` | whether it is still the same folder |
//! | `losses` | which losses of a listing are believed (pure) |
//! | `archived`, `upload` | versions that come with a request |
//! | `attempts` | which failed versions are tried again, and when (pure) |
//! | `labelled` | tasks of a folder whose labels say which version answers |
//! | `learn`, `lessons` | tasks of a store, known at their first request |
//! | `follow`, `advances` | brings the catalog to what a store's pointers say |
//! | `recall`, `names` | packs of a store that were in memory before a restart |
//! | `watch`, `watcher` | brings the catalog to what the folder holds |
//! | `rewritten` | live versions whose files changed |

mod addressed;
mod advances;
mod archived;
mod attempts;
mod blocking;
mod checks;
mod error;
mod failed;
mod first_reading;
mod follow;
mod home;
mod labelled;
mod learn;
mod lessons;
mod losses;
mod memory;
mod names;
mod options;
mod publish;
mod reading;
mod recall;
mod reloader;
mod rewritten;
mod self_test;
mod status;
mod survey;
mod trust;
mod upload;
mod verdicts;
mod watch;
mod watched;
mod watcher;

pub(crate) use archived::source_error;
pub use error::Error;
pub use first_reading::Pinned;
pub use home::MARKER_FILE;
pub use options::ReloadOptions;
pub use reloader::Reloader;
pub use status::FolderStatus;
pub use verdicts::{VERDICTS_FILE, arithmetic};
