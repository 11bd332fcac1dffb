//! Where packs come from, and how versions get there.
//!
//! A source is pointers and blobs. A task's pointer says which versions there are and which of them answers; a version's
//! bytes never change. Publishing and taking back are changes of the pointer, by compare-and-swap. Serving never lists.
//!
//! | file | holds |
//! |---|---|
//! | `archive` | a version as one file, in memory or on this disk |
//! | `digest`, `pointer`, `edit` | the words: names of blobs, pointers, and changes of them (pure) |
//! | `connect`, `bucket`, `parts` | an object store, and bounded requests to it |
//! | `layout`, `feed`, `segment` | where objects are, and which pointers have changed |
//! | `open` | from an address to a source |
//! | `source` | what is asked of every source: [`PackSource`] |
//! | `objects`, `fetch`, `fetches`, `change`, `operate` | packs in an object store |
//! | `folder`, `labels`, `locked`, `leftovers` | packs in a folder |
//! | `cache`, `place` | copies on this disk, held while they are read |
//! | `verified`, `tally` | which copies are whole, and how many bytes they have |
//! | `options` | how packs of a store are served |
//! | `patience` | how often a compare-and-swap is tried |

mod archive;
mod blocking;
mod bucket;
mod cache;
mod change;
mod connect;
mod digest;
mod edit;
mod error;
mod feed;
mod fetch;
mod fetches;
mod folder;
mod labels;
mod layout;
mod leftovers;
mod locked;
mod objects;
mod open;
mod operate;
mod options;
mod parts;
mod patience;
mod place;
mod pointer;
mod segment;
mod source;
mod tally;
mod verified;

pub use archive::{Archive, Incoming};
pub use cache::Cache;
pub use connect::{Settings, is_store};
pub use digest::Digest;
pub use edit::{Done, Edit};
pub use error::Error;
pub use feed::Changes;
pub use folder::Folder;
pub use labels::{LABELS_FILE, Labels, LabelsError};
pub use objects::Objects;
pub use open::open_source;
pub use options::{StoreAt, StoreOptions};
pub use place::Place;
pub use pointer::{MAX_POINTER_BYTES, MAX_VERSIONS, Pointer, STABLE, Stored, check_label};
pub use source::{Naming, PackSource, Published, Sweep, Swept};
