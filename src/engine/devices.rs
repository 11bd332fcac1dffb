//! Which devices get batches, as the inbox knows it.

use std::sync::PoisonError;
use std::time::Duration;

use super::error::Error;
use super::health::{Health, Trust};
use super::inbox::{Inbox, State};

impl Inbox {
    /// Whether a device gets batches.
    pub(super) fn trust(&self, device: usize) -> Trust {
        self.lock().devices.get(device).map_or(Trust::Out, Health::trust)
    }

    /// Whether a trial may change what a device gets.
    pub(super) fn needs_trial(&self, device: usize) -> bool {
        self.lock().devices.get(device).is_some_and(Health::needs_trial)
    }

    /// Notes what became of a device, and returns whether it gets batches before and after. Where the last one is out, what
    /// waits is answered now.
    pub(super) fn note_device(&self, device: usize, of: impl FnOnce(&mut Health)) -> [Trust; 2] {
        let mut state = self.lock();
        let Some(health) = state.devices.get_mut(device) else { return [Trust::Out; 2] };
        let before = health.trust();
        of(health);
        let after = health.trust();
        if before == after {
            return [before, after];
        }
        self.metrics.engine.devices_out.set(state.out() as i64);
        let stranded = if state.is_stranded() { state.queue.remove(|_| true) } else { Vec::new() };
        self.show(&state);
        drop(state);
        for waiting in stranded {
            waiting.reply(Err(Error::NoDevice));
        }
        self.changed.notify_all();
        [before, after]
    }

    /// Whether a device goes without a program that is made for the others, see [`Health::goes_without`]. The last one
    /// does not.
    pub(super) fn goes_without(&self, device: usize, covers: bool) -> bool {
        let mut state = self.lock();
        !state.is_stranded()
            && state.devices.get_mut(device).is_some_and(|health| health.goes_without(covers))
    }

    /// Waits until the inbox is closed, which it then says, or so long.
    pub(super) fn closes_within(&self, rest: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), rest, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Whether some device answers.
    pub(super) fn answers(&self) -> bool {
        !self.lock().is_stranded()
    }
}

impl State {
    /// Devices that are out.
    pub(super) fn out(&self) -> usize {
        self.devices.iter().filter(|health| health.trust() == Trust::Out).count()
    }

    /// Whether no device is left.
    pub(super) fn is_stranded(&self) -> bool {
        self.out() == self.devices.len()
    }
}
