//! A line for each request, or for some: what was asked, how it ended, how long it took.
//!
//! [`AccessLog::record`] never waits: a line goes to a thread that writes it, and is dropped and counted where that thread
//! is behind. No line holds a key, a query or a body.
//!
//! | file | holds |
//! |---|---|
//! | `entry` | [`Entry`], and its line |
//! | `notes` | [`Notes`]: what is learnt of a request on its way |
//! | `handle` | [`AccessLog`], and the thread that writes |

mod entry;
mod handle;
mod notes;

pub use entry::Entry;
pub use handle::{AccessLog, AccessOptions, FAMILY};
pub use notes::{Learnt, Notes};
