//! What was typed after `serve` about what a client may hold.

use std::time::Duration;

use clap::{Args, value_parser};
use mimi_server::serve::ConnectionLimits;

/// Longest time that any of these options sets.
const MAX_SECONDS: u64 = 600;

/// Options of `serve` about clients.
#[derive(Debug, Args)]
#[command(next_help_heading = "What a client may hold")]
pub struct ConnectionArgs {
    /// Port for health and metrics alone, at --host, on a thread of its own. The other port serves them too.
    #[arg(long, env = "MIMI_ADMIN_PORT", value_name = "PORT")]
    pub admin_port: Option<u16>,
    /// Most connections. When they run out, the oldest without a complete header is closed for a new one;
    /// then the longest idle. 0 chooses: the descriptors that the process may open minus 64 for files, at
    /// most 4096.
    #[arg(long, env = "MIMI_MAX_CONNECTIONS", default_value_t = 0)]
    max_connections: usize,
    /// Longest time for a request's header, seconds.
    #[arg(long, env = "MIMI_HEADER_TIMEOUT_SECS", default_value_t = 10, value_parser = value_parser!(u64).range(1..=MAX_SECONDS))]
    header_timeout_secs: u64,
    /// Longest time for a request's body, seconds; the request's deadline may be earlier.
    #[arg(long, env = "MIMI_BODY_TIMEOUT_SECS", default_value_t = 30, value_parser = value_parser!(u64).range(1..=MAX_SECONDS))]
    body_timeout_secs: u64,
    /// Longest time a connection stays open without a request, seconds.
    #[arg(long, env = "MIMI_IDLE_TIMEOUT_SECS", default_value_t = 75, value_parser = value_parser!(u64).range(1..=MAX_SECONDS))]
    idle_timeout_secs: u64,
    /// Longest time in which a client reads nothing of its answer, seconds.
    #[arg(long, env = "MIMI_WRITE_TIMEOUT_SECS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=MAX_SECONDS))]
    write_timeout_secs: u64,
    /// Most requests at once on one HTTP/2 connection.
    #[arg(long, env = "MIMI_MAX_STREAMS", default_value_t = 128, value_parser = value_parser!(u32).range(1..=10_000))]
    max_streams: u32,
    /// Most memory of all requests together, bodies and images being decoded, MiB. More is answered 429.
    #[arg(long, env = "MIMI_BYTES_IN_FLIGHT", default_value_t = 1024, value_name = "MIB", value_parser = value_parser!(u64).range(1..=1 << 20))]
    bytes_in_flight: u64,
    /// Deadline of a request without `x-mimi-timeout-ms`, milliseconds.
    #[arg(long, env = "MIMI_TIMEOUT_MS", default_value_t = 30_000, value_parser = value_parser!(u64).range(1..=MAX_SECONDS * 1000))]
    timeout_ms: u64,
    /// How long the server still takes requests after SIGTERM, with `/readyz` at 503, seconds. A balancer that asks
    /// `/readyz` turns away meanwhile: give it the time of two or three of its checks.
    #[arg(long, env = "MIMI_EXIT_NOTICE_SECS", default_value_t = 0, value_parser = value_parser!(u64).range(0..=MAX_SECONDS))]
    exit_notice_secs: u64,
    /// Longest wait for open requests after SIGTERM and the notice, seconds. Kubernetes kills 30 s after SIGTERM.
    #[arg(long, env = "MIMI_EXIT_TIMEOUT_SECS", default_value_t = 20, value_parser = value_parser!(u64).range(0..=MAX_SECONDS))]
    exit_timeout_secs: u64,
}

impl ConnectionArgs {
    /// Limits of connections.
    pub fn limits(&self) -> ConnectionLimits {
        let seconds = Duration::from_secs;
        ConnectionLimits {
            connections: (self.max_connections > 0).then_some(self.max_connections),
            header: seconds(self.header_timeout_secs),
            idle: seconds(self.idle_timeout_secs),
            write: seconds(self.write_timeout_secs),
            streams: self.max_streams,
        }
    }

    /// Deadline of a request that sets none.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Longest time for a body.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_secs)
    }

    /// Most memory of all requests, bytes.
    pub fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight << 20
    }

    /// How long requests are still taken at the end, while readiness says no.
    pub fn exit_notice(&self) -> Duration {
        Duration::from_secs(self.exit_notice_secs)
    }

    /// Longest wait for open requests at the end.
    pub fn exit_timeout(&self) -> Duration {
        Duration::from_secs(self.exit_timeout_secs)
    }
}
