//! What the watcher of the folder of packs keeps between looks.

use std::path::Path;
use std::time::{Duration, Instant};

use super::home::Home;
use super::losses::{Losses, Policy};
use super::memory::{self, Remembered};
use super::options::ReloadOptions;
use crate::pack::TaskId;

/// How long a loss must last to be believed, until the watcher's interval is known.
const SOON: Duration = Duration::from_secs(1);

/// What the watcher keeps between looks.
pub(super) struct Watcher {
    pub(super) home: Home,
    pub(super) losses: Losses,
    pub(super) policy: Policy,
    pub(super) last_whole: Option<Instant>,
    /// When the losses were last looked at again.
    last_doubt: Option<Instant>,
    /// The folder as it was before the start.
    pub(super) before: Option<Remembered>,
    /// Where the search for rewritten versions goes on.
    pub(super) cursor: Option<TaskId>,
}

impl Watcher {
    pub(super) fn new(root: &Path, options: &ReloadOptions) -> Self {
        let before = options.state.as_deref().and_then(|state| {
            memory::recall(state, root).unwrap_or_else(|error| {
                tracing::warn!(state = %state.display(), %error, "what was served before the start is not known");
                None
            })
        });
        let before = before.filter(|_| !options.confirm_folder);
        let home = Home::new(before.as_ref().map(|before| before.marker.clone()));
        let policy = Policy { share: options.max_loss, soon: SOON, again: options.loss_again };
        let losses = Losses::default();
        Self { home, losses, policy, last_whole: None, last_doubt: None, before, cursor: None }
    }

    pub(super) fn is_whole_due(&self, now: Instant, interval: Duration) -> bool {
        self.last_whole.is_none_or(|last| now >= last + interval)
    }

    /// The losses that are due for another look.
    pub(super) fn doubted(&mut self, now: Instant) -> Vec<TaskId> {
        let rest = if self.losses.is_doubtful() { self.policy.again } else { self.policy.soon };
        let rested = self.last_doubt.is_none_or(|last| now >= last + rest);
        if !rested || self.losses.due(self.policy).is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.last_doubt = Some(now);
        self.losses.held().cloned().collect()
    }
}
