//! Status of the whole folder of packs.

/// Most names shown of each kind.
pub(super) const SHOWN: usize = 20;

/// The folder of packs as the watcher sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderStatus {
    /// Tasks in it at the last look.
    pub tasks: usize,
    /// Why it could not be listed at the last look.
    pub error: Option<String>,
    /// Why what stands in its place is taken for another folder: nothing is unpublished until somebody confirms it.
    pub other: Option<String>,
    /// Whether the server waits for it since its start: an empty folder stands where there were tasks before.
    pub is_awaited: bool,
    /// How many tasks are kept though it lacks them or their live version.
    pub held: usize,
    /// The first of them.
    pub held_tasks: Vec<String>,
    /// How many folders are ignored because their name is neither a task id nor a version.
    pub passed_over: usize,
    /// The first of them.
    pub passed_over_names: Vec<String>,
    /// How many tasks have no change notices.
    pub unwatched: usize,
    /// Why not all have.
    pub notices: Option<String>,
}
