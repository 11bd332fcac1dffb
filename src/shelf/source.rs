//! What is asked of every source of packs.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::archive::Archive;
use super::digest::Digest;
use super::edit::{Done, Edit};
use super::error::Error;
use super::feed::Changes;
use super::place::Place;
use super::pointer::Pointer;
use crate::pack::TaskId;

/// How a version is named when it is published.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// Its number; none takes the next one.
    pub version: Option<u64>,
    /// The label that names it from now on.
    pub label: Option<String>,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version, and whether it is news.
    pub done: Done,
    /// SHA-256 of its archive.
    pub digest: Digest,
}

/// What `gc` may take away.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// How many of a task's newest versions stay, whatever names them.
    pub keep: usize,
    /// Age from which what nothing names is taken away.
    pub grace: Duration,
    /// Whether to tell only.
    pub is_dry: bool,
}

/// What `gc` took away, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tasks looked at.
    pub tasks: usize,
    /// Versions.
    pub versions: usize,
    /// Blobs that nothing names, and leftovers of crashes.
    pub blobs: usize,
    /// Bytes of those.
    pub bytes: u64,
}

/// Where packs come from. A pointer says which versions there are and which of them answers; a version never changes.
pub trait PackSource: std::fmt::Debug + Send + Sync {
    /// What people call it; no credentials are in it.
    fn name(&self) -> String;

    /// A task's pointer, read now; none where there is no such task.
    fn pointer<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, Result<Option<Arc<Pointer>>, Error>>;

    /// Where a version can be read on this disk. The task's [`pointer`](Self::pointer) was read before.
    fn fetch<'a>(&'a self, task: &'a TaskId, version: u64) -> BoxFuture<'a, Result<Place, Error>>;

    /// What has changed since the last call.
    fn changes(&self) -> BoxFuture<'_, Result<Changes, Error>>;

    /// Adds a version, given as its archive, and names it.
    fn publish<'a>(
        &'a self,
        task: &'a TaskId,
        archive: Archive,
        naming: Naming,
    ) -> BoxFuture<'a, Result<Published, Error>>;

    /// Changes a task's pointer.
    fn edit<'a>(&'a self, task: &'a TaskId, edit: Edit) -> BoxFuture<'a, Result<Done, Error>>;

    /// Every task. For operators: serving never lists.
    fn tasks(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>>;

    /// Takes away what no label names, but for the newest, and what nothing names at all.
    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<Swept, Error>>;
}
