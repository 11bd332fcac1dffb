//! Connections and TLS.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::make::{counter, counters, gauge, late_gauge};

/// Connections and TLS.
pub struct ConnectionMetrics {
    /// Open connections.
    pub connections: IntGauge,
    /// Connections accepted.
    pub connections_accepted: IntCounter,
    /// Connections that the server closed or refused, by reason.
    pub connections_closed: IntCounterVec,
    /// Changed TLS files, by outcome (`loaded` or `failed`).
    pub tls_reloads: IntCounterVec,
    /// When the certificate that is served expires, seconds since the epoch; a series only where TLS is on.
    tls_expiry: IntGaugeVec,
    tls_revocations_due: IntGaugeVec,
    /// Failures to accept a connection.
    pub accept_failures: IntCounter,
}

impl ConnectionMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connections: gauge(r, "mimi_connections", "Open connections")?,
            connections_accepted: counter(r, "mimi_connections_accepted_total", "Connections accepted")?,
            connections_closed: counters(
                r,
                "mimi_connections_closed_total",
                "Connections the server closed or refused, by reason: header_timeout, idle_timeout, write_timeout, crowded_header, crowded_idle, crowded_body, crowded_answer, full, tls_handshake, untrusted, drain",
                &["reason"],
            )?,
            tls_reloads: counters(
                r,
                "mimi_tls_reloads_total",
                "Changed TLS files, by outcome: loaded, failed; alert on failed",
                &["outcome"],
            )?,
            tls_expiry: late_gauge(
                r,
                "mimi_tls_certificate_expiry_seconds",
                "When the certificate that is served expires, seconds since the epoch",
            )?,
            tls_revocations_due: late_gauge(
                r,
                "mimi_tls_crl_next_update_seconds",
                "When the next list of revoked client certificates is due, seconds since the epoch; the first of several",
            )?,
            accept_failures: counter(r, "mimi_accept_failures_total", "Failures to accept a connection")?,
        })
    }

    /// Says when the certificate that is served expires, seconds since the epoch.
    pub fn set_tls_expiry(&self, at: i64) {
        self.tls_expiry.with_label_values::<&str>(&[]).set(at);
    }

    /// Says when the next list of revoked client certificates is due, seconds since the epoch; its series ends without one.
    pub fn set_tls_revocations_due(&self, at: Option<i64>) {
        match at {
            Some(at) => self.tls_revocations_due.with_label_values::<&str>(&[]).set(at),
            None => self.tls_revocations_due.reset(),
        }
    }
}
