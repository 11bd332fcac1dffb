//! The way to the thread that writes a journal.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::state::State;

/// Most that is on its way; what comes beyond it is dropped and counted.
pub const ROOM: usize = 4096;

/// The way to a thread, and the thread.
#[derive(Debug)]
pub struct Way<T> {
    family: &'static str,
    state: Arc<State>,
    sender: Mutex<Option<SyncSender<T>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Send + 'static> Way<T> {
    /// Starts a family's thread. It does `write` until the way ends.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start(
        family: &'static str,
        state: Arc<State>,
        write: impl FnOnce(&Receiver<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, came) = sync_channel(ROOM);
        let thread = std::thread::Builder::new().name(family.into()).spawn(move || write(&came))?;
        Ok(Self { family, state, sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Sends; never waits.
    pub fn send(&self, what: T) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.as_ref().is_none_or(|sender| sender.try_send(what).is_err()) {
            self.state.drop_lines(1);
        }
    }

    /// What is counted and shown of the journal.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Ends the way, and waits until the thread has written what came.
    pub fn stop(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the {} log's thread failed", self.family);
        }
    }
}
