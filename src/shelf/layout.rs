//! Where objects are. A hash comes first in every name, so that stores spread them.

use object_store::path::Path;

use super::digest::Digest;
use crate::backbone::sha256_hex;
use crate::pack::TaskId;

/// Lines of a segment of the change feed.
pub(super) const SEGMENT: u64 = 1000;

/// Names of objects below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Layout(Path);

impl Layout {
    pub(super) fn new(prefix: Path) -> Self {
        Self(prefix)
    }

    fn under<const N: usize>(&self, parts: [&str; N]) -> Path {
        self.0.parts().chain(parts.into_iter().map(Into::into)).collect()
    }

    pub(super) fn blob(&self, digest: &Digest) -> Path {
        self.under(["blobs", digest.shard(), &format!("{digest}.mipack")])
    }

    /// Where `gc` puts a blob first.
    pub(super) fn trash(&self, digest: &Digest) -> Path {
        self.under(["trash", &format!("{digest}.mipack")])
    }

    pub(super) fn pointer(&self, task: &TaskId) -> Path {
        let hash = sha256_hex(task.as_str().as_bytes());
        self.under(["tasks", &hash[..2], &format!("{task}.json")])
    }

    pub(super) fn head(&self) -> Path {
        self.under(["changes", "head.json"])
    }

    pub(super) fn segment(&self, number: u64) -> Path {
        self.under(["changes", &format!("{number}.jsonl")])
    }

    pub(super) fn blobs(&self) -> Path {
        self.under(["blobs"])
    }

    pub(super) fn all_trash(&self) -> Path {
        self.under(["trash"])
    }

    pub(super) fn tasks(&self) -> Path {
        self.under(["tasks"])
    }
}

/// The task of a pointer's name; none where the name is not one that a pointer has.
pub(super) fn task_of(path: &Path) -> Option<TaskId> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

/// The digest of a blob's name.
pub(super) fn digest_of(path: &Path) -> Option<Digest> {
    path.filename()?.strip_suffix(".mipack")?.parse().ok()
}
