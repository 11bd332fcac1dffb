//! Which losses of a listing are believed: those seen twice. The more there are, the longer the second look waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::pack::TaskId;

/// Losses of up to this many tasks count as few, however few tasks there are in all.
const FEW: usize = 3;

/// When a loss is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Largest share of all tasks that counts as few, 0 to 1.
    pub(super) share: f64,
    /// How long few must stay lost: long enough that a move in progress is not mistaken for its end.
    pub(super) soon: Duration,
    /// How long more than few must stay lost.
    pub(super) again: Duration,
}

/// How far a look is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The folder is the one that was listed before.
    Same,
    /// Another folder stands in its place, or an empty one: nothing is believed without a confirmation.
    Other,
    /// An operator has confirmed what stands there.
    Confirmed,
}

/// What one look found about the published tasks.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Those whose live version it lacks.
    pub(super) lost: BTreeSet<TaskId>,
    /// Those whose live version it has.
    pub(super) found: BTreeSet<TaskId>,
    /// How many are published, looked at or not.
    pub(super) published: usize,
}

/// Tasks, or their live versions, that are published and not in the folder.
#[derive(Debug, Default)]
pub(super) struct Losses {
    since: BTreeMap<TaskId, Instant>,
    /// Whether more is lost than everyday work explains.
    is_doubtful: bool,
}

impl Losses {
    /// Takes in one look and gives the losses to be believed; those are forgotten here.
    pub(super) fn judge(
        &mut self,
        listed: &Listed,
        trust: Trust,
        policy: Policy,
        now: Instant,
    ) -> BTreeSet<TaskId> {
        let Listed { lost, found, published } = listed;
        let before = self.since.len();
        self.since.retain(|task, _| !found.contains(task));
        // They are being moved back: the rest has as long again to follow.
        if self.is_doubtful && self.since.len() < before {
            self.since.values_mut().for_each(|since| *since = now);
        }
        for task in lost {
            self.since.entry(task.clone()).or_insert(now);
        }
        let count = self.since.len();
        let are_few = count <= FEW || count as f64 <= policy.share * *published as f64;
        let wait = if are_few { policy.soon } else { policy.again };
        let is_believed = |since: Instant| match trust {
            Trust::Confirmed => true,
            Trust::Other => false,
            Trust::Same => now >= since + wait,
        };
        // Only what this look lacks too.
        let believed =
            lost.iter().filter(|task| self.since.get(*task).is_some_and(|since| is_believed(*since)));
        let believed: BTreeSet<TaskId> = believed.cloned().collect();
        self.since.retain(|task, _| !believed.contains(task));
        self.is_doubtful = !self.since.is_empty() && (trust == Trust::Other || !are_few);
        believed
    }

    /// When to look again at what is lost.
    pub(super) fn due(&self, policy: Policy) -> Option<Instant> {
        let wait = if self.is_doubtful { policy.again } else { policy.soon };
        self.since.values().max().map(|since| *since + wait)
    }

    /// Whether more is lost than everyday work explains.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Tasks kept though they are lost.
    pub(super) fn held(&self) -> impl Iterator<Item = &TaskId> {
        self.since.keys()
    }

    /// Whether a task is.
    pub(super) fn is_held(&self, task: &TaskId) -> bool {
        self.since.contains_key(task)
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.since.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(1);
    const AGAIN: Duration = Duration::from_secs(5);
    const POLICY: Policy = Policy { share: 0.2, soon: SOON, again: AGAIN };

    fn tasks(numbers: std::ops::Range<usize>) -> BTreeSet<TaskId> {
        numbers.map(|i| format!("t{i}").parse().unwrap()).collect()
    }

    fn judge(losses: &mut Losses, lost: std::ops::Range<usize>, trust: Trust, now: Instant) -> usize {
        let found = tasks(lost.end..100);
        let listed = Listed { lost: tasks(lost), found, published: 100 };
        losses.judge(&listed, trust, POLICY, now).len()
    }

    #[test]
    fn few_are_believed_soon_and_many_later() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert_eq!(judge(&mut losses, 0..20, Trust::Same, start), 0);
        assert_eq!((losses.is_doubtful(), losses.due(POLICY)), (false, Some(start + SOON)));
        assert_eq!(judge(&mut losses, 0..20, Trust::Same, start + SOON), 20);
        assert_eq!(judge(&mut losses, 0..80, Trust::Same, start), 0);
        assert_eq!((losses.count(), losses.due(POLICY)), (80, Some(start + AGAIN)));
        assert_eq!(judge(&mut losses, 0..80, Trust::Same, start + AGAIN / 2), 0);
        assert_eq!(judge(&mut losses, 0..80, Trust::Same, start + AGAIN), 80);
        assert_eq!((losses.count(), losses.is_doubtful()), (0, false));
    }

    #[test]
    fn what_is_being_moved_back_is_waited_for() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert_eq!(judge(&mut losses, 0..80, Trust::Same, start), 0);
        // Half of them, then all but two: few are left, and none is believed as soon as few are.
        assert_eq!(judge(&mut losses, 0..40, Trust::Same, start + AGAIN), 0);
        assert_eq!(judge(&mut losses, 0..40, Trust::Same, start + AGAIN * 3 / 2), 0);
        assert_eq!(judge(&mut losses, 0..2, Trust::Same, start + AGAIN * 7 / 4), 0);
        assert_eq!(judge(&mut losses, 0..2, Trust::Same, start + AGAIN * 7 / 4 + SOON), 2);
    }

    #[test]
    fn what_is_being_moved_away_is_not_believed_by_halves() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert_eq!(judge(&mut losses, 0..2, Trust::Same, start), 0);
        assert_eq!(judge(&mut losses, 0..60, Trust::Same, start + SOON), 0);
        assert!(losses.is_doubtful());
    }

    #[test]
    fn another_folder_is_believed_nothing_until_it_is_confirmed() {
        let (mut losses, mut now) = (Losses::default(), Instant::now());
        for _ in 0..1000 {
            now += AGAIN;
            assert_eq!(judge(&mut losses, 0..1, Trust::Other, now), 0);
            assert!(losses.is_doubtful());
        }
        assert_eq!(judge(&mut losses, 0..1, Trust::Confirmed, now), 1);
    }

    #[test]
    fn what_a_look_does_not_look_at_is_not_believed_by_it() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert_eq!(judge(&mut losses, 0..2, Trust::Same, start), 0);
        let none = Listed { published: 100, ..Listed::default() };
        assert!(losses.judge(&none, Trust::Same, POLICY, start + AGAIN).is_empty());
        assert_eq!(losses.count(), 2);
    }
}
