//! Which version of which task is live, and which packs are in memory.
//!
//! Listing is cheap and reading is lazy: a start reads only folder names, so thousands of tasks cost nothing until
//! they are called. A cold pack is read at its first request; concurrent first requests share one reading. Packs are
//! kept under a budget of bytes; a request that holds an `Arc<Pack>` keeps its pack whatever happens here.
//!
//! | from | event | to |
//! |---|---|---|
//! | unknown | folder with a version appears | published (cold) |
//! | published | newer version passes reading, checking, warming | published (newer) |
//! | published | newer version fails | published (as before), failure shown |
//! | published at the start, unread | called, and fails its self-test | published (the next older), failure shown |
//! | published | live version's folder goes, another remains | published (the highest that passes) |
//! | published | no version remains, in a listing that is trusted | unknown |
//! | published | unloaded by a caller | published, answering nothing until it is loaded |
//! | published | its folder cannot be listed, its files cannot be read | published (as before), shown |

//!
//! | file | holds |
//! |---|---|
//! | `table` | the tasks and the packs in memory: [`Catalog`] |
//! | `resolve` | a request's way to a pack, read from disk if it is cold |
//! | `publish` | versions that go live and versions that go |
//! | `allowance` | how much of the catalog owners of tasks may take |
//! | `unload` | tasks that answer nothing until they are loaded again |
//! | `place` | where versions are read: a folder, or copies of a store's packs |
//! | `marks` | what the watcher of the folder notes about tasks |
//! | `status`, `error` | what is known of a task, and why it has no pack |

mod allowance;
mod error;
mod marks;
mod place;
mod publish;
mod resolve;
mod status;
mod table;
mod unload;

pub use allowance::{Allowance, Allowances, OVER_LIMIT, OverLimit, Unlimited};
pub use error::Error;
pub use publish::list_versions;
pub use status::{Failure, FailureKind, Resolved, Served, TaskStatus, VersionRead};
pub use table::Catalog;
