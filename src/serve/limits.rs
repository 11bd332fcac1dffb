//! How much a client may hold: connections, and time in each stage of one.

use std::time::Duration;

use anyhow::{Result, ensure};

/// Most connections unless said otherwise, where descriptors allow it.
const DEFAULT_CONNECTIONS: usize = 4096;
/// Descriptors kept for files (packs, weights, the runtime's own) where there are twice as many.
const KEPT_FOR_FILES: usize = 64;

/// Limits of connections. A request's own limits are in [`ServiceOptions`](crate::service::ServiceOptions) and
/// [`HttpOptions`](crate::http::HttpOptions).
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most connections at once; none derives it from the descriptors that the process may open.
    pub connections: Option<usize>,
    /// Longest wait for a whole header, from its first byte, or from the connection's start.
    pub header: Duration,
    /// Longest time without a request.
    pub idle: Duration,
    /// Longest time in which a client takes nothing of its answer.
    pub write: Duration,
    /// Most requests at once on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for ConnectionLimits {
    /// Browsers and proxies keep connections for 60 s or so; nginx takes 60 s for a header, which stalled ones abuse.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connections: None, header: seconds(10), idle: seconds(75), write: seconds(20), streams: 128 }
    }
}

impl ConnectionLimits {
    /// Most connections, where the process may open `descriptors` files and sockets.
    ///
    /// # Errors
    /// When more connections were asked for than leave descriptors for files.
    pub fn most(&self, descriptors: usize) -> Result<usize> {
        let room = descriptors.saturating_sub(KEPT_FOR_FILES.min(descriptors / 2)).max(1);
        let Some(asked) = self.connections else { return Ok(room.min(DEFAULT_CONNECTIONS)) };
        ensure!(
            (1..=room).contains(&asked),
            "{asked} connections: expected 1 to {room}, since this process may open {descriptors} descriptors \
             (`ulimit -Hn`) and files need some"
        );
        Ok(asked)
    }
}

/// Raises the soft limit of open descriptors to the hard one, and returns it.
pub fn raise_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, ?maximum, "the limit of open descriptors cannot be raised");
    }
    descriptors()
}

/// Descriptors that this process may open.
pub(super) fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files() {
        let limits = ConnectionLimits::default();
        for (descriptors, most) in [(20, 10), (64, 32), (200, 136), (1024, 960), (1 << 20, 4096)] {
            assert_eq!(limits.most(descriptors).unwrap(), most, "{descriptors}");
        }
        let asked = |n| ConnectionLimits { connections: Some(n), ..limits };
        assert_eq!(asked(136).most(200).unwrap(), 136);
        for wrong in [0, 137] {
            let error = asked(wrong).most(200).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()) && error.contains("200"), "{error}");
        }
    }
}
