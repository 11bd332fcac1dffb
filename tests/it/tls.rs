//! TLS: who is served, who is not, and what happens when files change.

/// Certificates, made as they are needed.
mod authority;
/// A client that speaks TLS.
mod client;
/// Whose certificates are taken.
mod clients;
/// What goes wrong with files at the start, and `server health`.
mod commands;
/// gRPC on the same port.
mod grpc;
/// What is agreed on, and what a client may hold before it is.
mod handshakes;
/// Files that change.
mod reload;

use std::net::SocketAddr;
use std::time::Duration;

use mimi_server::serve::{Config, TlsOptions};

use crate::server::{self, World};
use client::{FOR_EVER, ask_in_clear};

/// A server with TLS; its metrics are to be had in clear unless its options say otherwise.
struct Served {
    running: server::Running,
    address: SocketAddr,
    admin: SocketAddr,
    _world: World,
}

impl Served {
    async fn start(tls: TlsOptions) -> Self {
        Self::with(tls, |_| ()).await
    }

    async fn with(tls: TlsOptions, change: impl FnOnce(&mut Config)) -> Self {
        let world = World::new();
        world.publish("one", &world.contents(1, 1));
        let mut config = Config { tls: Some(tls), ..world.config() };
        change(&mut config);
        let admin = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let health = admin.local_addr().unwrap();
        let running = server::start(config, Some(admin)).await;
        Self { address: running.address, admin: health, running, _world: world }
    }

    /// What a series says; 0 where there is none.
    async fn series(&self, name: &str) -> f64 {
        let text = ask_in_clear(self.admin, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse().unwrap())
    }

    async fn closed(&self, reason: &str) -> f64 {
        self.series(&format!("mimi_connections_closed_total{{reason=\"{reason}\"}}")).await
    }

    async fn reloads(&self, outcome: &str) -> f64 {
        self.series(&format!("mimi_tls_reloads_total{{outcome=\"{outcome}\"}}")).await
    }

    /// Waits until a series is as it should be.
    async fn until<F: Future<Output = f64>>(&self, series: impl Fn() -> F, is_right: impl Fn(f64) -> bool) {
        let mut last = 0.0;
        let reached = async {
            loop {
                last = series().await;
                if is_right(last) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(FOR_EVER, reached).await;
        assert!(reached.is_ok(), "it stays at {last}");
    }

    /// Waits until files were read again so often with that outcome.
    async fn until_reloads(&self, outcome: &str, times: f64) {
        self.until(|| self.reloads(outcome), |found| found == times).await;
    }

    /// Waits until so many connections were closed for that reason.
    async fn until_closed(&self, reason: &str, times: f64) {
        self.until(|| self.closed(reason), |found| found == times).await;
    }

    async fn end(self) {
        tokio::time::timeout(FOR_EVER, self.running.end()).await.expect("no end").unwrap().unwrap();
    }
}
