//! What one connection is doing, and since when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use futures::task::AtomicWaker;

use super::limits::ConnectionLimits;

/// Most bytes that HTTP/2 writes at once by itself: pings, settings, windows.
const CONTROL_BYTES: usize = 64;
/// Most bytes that TLS puts around them.
const SEAL_BYTES: usize = 32;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request's header has not come whole.
    Header,
    /// Between requests.
    Idle,
    /// A request's body is coming.
    Body,
    /// The server works on a request.
    Working,
    /// An answer is being taken.
    Answer,
}

/// Why the server closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The header took too long.
    HeaderTimeout,
    /// No request came for too long.
    IdleTimeout,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
    /// A new client needed the place, and this one had no whole header.
    CrowdedHeader,
    /// A new client needed the place, and this one was idle.
    CrowdedIdle,
    /// A new client needed the place, and this one's body was coming the longest.
    CrowdedBody,
    /// A new client needed the place, and this one was taking its answer the longest.
    CrowdedAnswer,
    /// Every place was held by a request being worked on.
    Full,
    /// The handshake of TLS failed.
    TlsHandshake,
    /// The client's certificate does not hold any more.
    Untrusted,
    /// The server ended.
    Drain,
}

impl Reason {
    /// The word in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::CrowdedHeader => "crowded_header",
            Self::CrowdedIdle => "crowded_idle",
            Self::CrowdedBody => "crowded_body",
            Self::CrowdedAnswer => "crowded_answer",
            Self::Full => "full",
            Self::TlsHandshake => "tls_handshake",
            Self::Untrusted => "untrusted",
            Self::Drain => "drain",
        }
    }
}

/// Most bytes of a refused header that are thrown away, so that its client reads the answer; more is a flood.
const HEADER_REST: usize = 256 << 10;

/// One connection as everybody sees it.
pub(super) struct Peer {
    state: Mutex<State>,
    waker: AtomicWaker,
}

struct State {
    phase: Phase,
    since: Instant,
    /// Requests by stage: body coming, being worked on, answer being taken.
    bodies: usize,
    working: usize,
    answers: usize,
    /// Whether it has been given an answer.
    served: bool,
    /// Whether bytes between requests may be no header: HTTP/2 has frames of its own.
    multiplexed: bool,
    /// Whether its last request was answered without its whole body: more of it may come.
    unheard: bool,
    /// Whether a header was answered before it had come whole: one that is too long, or none at all.
    refused: bool,
    /// Since when the client takes nothing of what is to be written.
    stalled: Option<Instant>,
    /// When the client last took something of an answer, or an answer was first there to be taken.
    taken: Instant,
    /// Most bytes written at once that are no part of an answer.
    control: usize,
    verdict: Option<Reason>,
}

/// Where a request is, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Body,
    Working,
    Answer,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            phase: Phase::Header,
            since: now,
            bodies: 0,
            working: 0,
            answers: 0,
            served: false,
            multiplexed: false,
            unheard: false,
            refused: false,
            stalled: None,
            taken: now,
            control: CONTROL_BYTES,
            verdict: None,
        };
        Self { state: Mutex::new(state), waker: AtomicWaker::new() }
    }

    /// TLS is spoken from here on.
    pub(super) fn sealed(&self) {
        self.lock().control = CONTROL_BYTES + SEAL_BYTES;
    }

    /// What it is doing, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let state = self.lock();
        (state.phase, state.since)
    }

    /// Whether it has been given an answer.
    pub(super) fn is_known(&self) -> bool {
        self.lock().served
    }

    /// Bytes came: between requests of HTTP/1 a header begins.
    pub(super) fn received(&self, now: Instant) {
        let mut state = self.lock();
        if state.phase == Phase::Idle && !state.multiplexed {
            (state.phase, state.since) = (Phase::Header, now);
        }
    }

    /// The client took `taken` bytes of what is written, or none.
    pub(super) fn wrote(&self, taken: Option<usize>, now: Instant) {
        let mut state = self.lock();
        state.stalled = if taken.is_some() { None } else { state.stalled.or(Some(now)) };
        state.refused |= taken.is_some() && state.phase == Phase::Header && !state.multiplexed;
        if taken.is_some_and(|bytes| bytes > state.control) {
            state.taken = now;
        }
    }

    /// A request's header came.
    pub(super) fn entered(&self, multiplexed: bool, stage: Stage, now: Instant) {
        let mut state = self.lock();
        state.multiplexed |= multiplexed;
        (state.unheard, state.refused) = (false, false);
        state.add(stage, now);
        state.settle(now);
    }

    /// Nobody wants the rest of a request's body. HTTP/2 says so to its client, HTTP/1 cannot.
    pub(super) fn unheard(&self) {
        let mut state = self.lock();
        state.unheard = !state.multiplexed;
    }

    /// How many bytes may come that nobody wants: any number of a body, some of a header that was refused, none of who was
    /// shut out.
    pub(super) fn unwanted(&self) -> usize {
        let state = self.lock();
        match state.unheard {
            true => usize::MAX,
            false if state.refused && state.verdict.is_none() => HEADER_REST,
            false => 0,
        }
    }

    /// A request went on.
    pub(super) fn moved(&self, from: Stage, to: Option<Stage>, now: Instant) {
        let mut state = self.lock();
        *state.count(from) -= 1;
        state.served |= from == Stage::Answer && to.is_none();
        if let Some(to) = to {
            state.add(to, now);
        }
        state.settle(now);
    }

    /// When the connection will have to be closed if nothing changes, and why.
    pub(super) fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, Reason)> {
        let state = self.lock();
        let quiet = match state.phase {
            Phase::Header => Some((state.since + limits.header, Reason::HeaderTimeout)),
            Phase::Idle => Some((state.since + limits.idle, Reason::IdleTimeout)),
            // The request's deadline covers these, and the limit on writing an answer.
            Phase::Body | Phase::Working | Phase::Answer => None,
        };
        let stalled = state.stalled.map(|since| (since + limits.write, Reason::WriteTimeout));
        // HTTP/2 writes frames of its own while a client that opens no window takes nothing of its answers.
        let unread = state.multiplexed && state.answers > 0;
        let unread = unread.then(|| (state.taken + limits.write, Reason::WriteTimeout));
        quiet.into_iter().chain(stalled).chain(unread).min_by_key(|(at, _)| *at)
    }

    /// Closes the connection.
    pub(super) fn close(&self, reason: Reason) {
        self.lock().verdict.get_or_insert(reason);
        self.waker.wake();
    }

    /// Makes the connection check its deadlines again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Why it must be closed, if it must; `waker` is woken when that or a deadline changes.
    pub(super) fn verdict(&self, waker: &Waker) -> Option<Reason> {
        self.waker.register(waker);
        self.condemned()
    }

    /// Why it must be closed, if it must.
    pub(super) fn condemned(&self) -> Option<Reason> {
        self.lock().verdict
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, stage: Stage) -> &mut usize {
        match stage {
            Stage::Body => &mut self.bodies,
            Stage::Working => &mut self.working,
            Stage::Answer => &mut self.answers,
        }
    }

    fn add(&mut self, stage: Stage, now: Instant) {
        if stage == Stage::Answer && self.answers == 0 {
            self.taken = now;
        }
        *self.count(stage) += 1;
    }

    fn settle(&mut self, now: Instant) {
        let phase = match (self.working, self.bodies, self.answers) {
            (1.., _, _) => Phase::Working,
            (0, 1.., _) => Phase::Body,
            (0, 0, 1..) => Phase::Answer,
            (0, 0, 0) => Phase::Idle,
        };
        if phase != self.phase {
            (self.phase, self.since) = (phase, now);
        }
    }
}

#[cfg(test)]
mod tests;
