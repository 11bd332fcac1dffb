//! What models there are.

use super::Protocol;
use crate::catalog::TaskStatus;
use crate::tenants::Caller;

/// Most models in an index.
const MAX_INDEX: usize = 100_000;

/// Whether a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It answers.
    Ready,
    /// It does not.
    Unavailable,
}

impl ModelState {
    /// The protocol's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// A model in an index.
#[derive(Clone, Debug)]
pub struct IndexEntry {
    /// The task.
    pub name: String,
    /// The live version, or the newest that failed.
    pub version: Option<String>,
    /// Whether it answers.
    pub state: ModelState,
    /// Why it does not.
    pub reason: String,
}

impl Protocol {
    /// Models that the caller may know of, by name; only those that answer where `ready`. Nothing is read from the disk.
    pub fn index(&self, caller: &Caller, ready: bool) -> Vec<IndexEntry> {
        let all = self.service.page(caller, None, MAX_INDEX).tasks.into_iter().map(entry);
        all.filter(|entry| !ready || entry.state == ModelState::Ready).collect()
    }

    /// Names of models that the caller may know of.
    pub fn models(&self, caller: &Caller) -> Vec<String> {
        self.service
            .page(caller, None, MAX_INDEX)
            .tasks
            .iter()
            .map(|status| status.task.to_string())
            .collect()
    }
}

fn entry(status: TaskStatus) -> IndexEntry {
    let TaskStatus { task, live, failure, is_unloaded, .. } = status;
    let (name, failed) = (task.to_string(), failure.as_ref().map(|failure| failure.version));
    let version = live.or(failed).map(|version| version.to_string());
    if is_unloaded {
        return IndexEntry { name, version, state: ModelState::Unavailable, reason: "unloaded".into() };
    }
    match live {
        Some(_) => IndexEntry { name, version, state: ModelState::Ready, reason: String::new() },
        None => {
            let reason = failure.map(|failure| failure.reason).unwrap_or_default();
            IndexEntry { name, version, state: ModelState::Unavailable, reason }
        }
    }
}
