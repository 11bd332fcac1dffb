//! The end of a connection whose client still sends.
//!
//! A request may be answered before its body has come: where it is too large, or its key is wrong. Closing a socket with
//! unread bytes resets it, and a reset takes the answer away from a client that still sends. So what comes is read and
//! thrown away for a while, after the answer's last byte (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

/// Longest silence of a client until the socket is closed.
const SILENCE: Duration = Duration::from_secs(2);
/// Longest time until it is closed whatever comes.
const LONGEST: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const PIECE: usize = 8 << 10;

/// Reads what nobody wants.
pub(super) struct Linger {
    ends: Instant,
    /// Bytes that are still taken.
    left: usize,
    silence: Pin<Box<Sleep>>,
}

impl Linger {
    /// Begins after the answer's last byte, and takes at most so many bytes.
    pub(super) fn new(left: usize, now: Instant) -> Self {
        Self { ends: now + LONGEST, left, silence: Box::pin(sleep_until((now + SILENCE).into())) }
    }

    /// Ready when the client has closed its side, is silent, or has sent for long enough.
    pub(super) fn poll(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; PIECE];
        loop {
            if self.silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut piece = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut *socket).poll_read(cx, &mut piece));
            self.left = self.left.saturating_sub(piece.filled().len());
            if read.is_err() || piece.filled().is_empty() || self.left == 0 {
                return Poll::Ready(());
            }
            let until = self.ends.min(Instant::now() + SILENCE);
            self.silence.as_mut().reset(until.into());
        }
    }
}
