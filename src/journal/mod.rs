//! Append-only JSON lines in a folder, written so that a crash loses at most the last moment.
//!
//! A family of files (`usage`, `audit`) has one [`Journal`] a process. Each process writes files of its own, named by its
//! [`Boot`], so that several servers share a folder. Lines are held until they are on the disk: what could not be written or
//! synced is written again, to another file, once the disk is back. Readers tell repeated lines by boot and number.
//!
//! | file | holds |
//! |---|---|
//! | `name` | names of files, and of a process: [`Boot`], [`Name`] |
//! | `medium` | what is written through, so that a test can make any write fail |
//! | `log` | [`Journal`]: holding, writing, syncing, turning to the next file |
//! | `state` | [`State`]: what is counted and shown of a journal |
//! | `mend` | last lines that a crash cut in two |
//! | `prune` | old files that are no longer kept |
//! | `kept` | [`Kept`]: a journal of which so many bytes are kept |
//! | `way` | [`Way`]: the way to a thread that writes one |
//! | `lines` | lines of a file, from an offset, each bounded |
//! | `seen` | which numbered lines were read before |
//! | `time` | times and days as text |

mod kept;
mod lines;
mod log;
mod medium;
mod mend;
mod name;
mod prune;
mod seen;
mod state;
pub mod time;
mod way;

pub use kept::Kept;
pub use lines::{Found, LINE_BYTES, lines};
pub use log::{Journal, Options};
pub use medium::{Medium, Sheet, SystemMedium};
pub use mend::mend;
pub use name::{Boot, Name, files};
pub use prune::{Keep, prune};
pub use seen::Seen;
pub use state::State;
pub use way::{ROOM, Way};
