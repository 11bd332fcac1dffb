//! Who gets in, and what is said to who does not.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::Error;
use super::inbox::{Inbox, Permit, State};
use super::load::Want;
use super::row::Share;

/// Shortest and longest advice to an overloaded caller.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Rows that are to be admitted, all or none.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) share: Share,
    pub(super) rows: usize,
    /// What they are, in their order, where it is known.
    pub(super) wants: &'a [Want],
    pub(super) deadline: Option<Instant>,
}

impl Inbox {
    /// Admits rows, all or none.
    pub(super) fn admit(self: &Arc<Self>, ask: Ask<'_>, now: Instant) -> Result<Vec<Permit>, Error> {
        let mut state = self.lock();
        self.check(&state, ask.share, ask.rows)?;
        self.check_time(&state, ask, now)?;
        let wants = ask.wants.iter().cloned().map(Some).chain(iter::repeat(None)).take(ask.rows);
        Ok(wants.map(|want| self.permit(&mut state, ask.share, want, now)).collect())
    }

    /// Admits one of the server's own rows, beyond the limit.
    pub(super) fn admit_beside(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        if state.is_stranded() {
            return Err(Error::NoDevice);
        }
        Ok(self.permit(&mut state, Share::INTERNAL, None, Instant::now()))
    }

    /// Whether `asked` rows of somebody who holds none would be admitted now.
    pub(super) fn room(&self, asked: usize) -> Result<(), Error> {
        let state = self.lock();
        self.check_free(&state, asked)
    }

    fn permit(self: &Arc<Self>, state: &mut State, share: Share, want: Option<Want>, now: Instant) -> Permit {
        state.expected += 1;
        state.load.enter(share, now);
        want.iter().for_each(|want| state.load.charge(share, want));
        Permit { inbox: Arc::clone(self), share, want, queued: false }
    }

    fn check(&self, state: &State, share: Share, asked: usize) -> Result<(), Error> {
        self.check_free(state, asked)?;
        let Err(held) = state.load.places(share, asked) else { return Ok(()) };
        let retry_after = self.retry(state, state.load.before(share, iter::empty()));
        Err(Error::Crowded { held, asked, retry_after })
    }

    /// Refuses what would exceed the limit, whoever asks.
    fn check_free(&self, state: &State, asked: usize) -> Result<(), Error> {
        let limit = self.limit;
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        if state.is_stranded() {
            return Err(Error::NoDevice);
        }
        if asked > limit {
            return Err(Error::NeverFits { asked, limit });
        }
        if asked <= state.load.free() {
            return Ok(());
        }
        Err(match state.load.rows_of_all() {
            // How much others have in flight is not told, nor how long that takes.
            None => Error::Full { asked, retry_after: RETRY[0] },
            Some(admitted) => {
                let retry_after = self.retry(state, state.load.flops());
                Error::Overloaded { admitted, asked, limit, retry_after }
            }
        })
    }

    fn retry(&self, state: &State, flops: u128) -> Duration {
        self.seconds(state, flops).unwrap_or_default().clamp(RETRY[0], RETRY[1])
    }

    /// Refuses what would have its turn after its deadline, by what was measured.
    fn check_time(&self, state: &State, ask: Ask<'_>, now: Instant) -> Result<(), Error> {
        let Some(deadline) = ask.deadline.filter(|_| !ask.wants.is_empty()) else { return Ok(()) };
        let before = state.load.before(ask.share, ask.wants.iter());
        let left = deadline.saturating_duration_since(now);
        match self.seconds(state, before) {
            Some(turn) if turn > left => Err(Error::TooLate { turn, left }),
            _ => Ok(()),
        }
    }
}
