//! Who asks, and what each tenant uses.

use prometheus::{CounterVec, IntCounterVec, IntGauge, Registry};

use super::make::{counters, gauge, known, real_counters};

/// Who asks, and what each tenant uses.
pub struct TenantMetrics {
    /// Tenants in the file that is in force.
    pub tenants: IntGauge,
    /// Times that the file of tenants was read again, by outcome (`read` or `refused`).
    pub tenants_reloads: IntCounterVec,
    /// Requests whose caller was looked for, by outcome.
    pub authentications: IntCounterVec,
    /// Requests, by tenant and code.
    pub tenant_requests: IntCounterVec,
    /// Images, by tenant.
    pub tenant_images: IntCounterVec,
    /// Floating-point operations, by tenant.
    pub tenant_flops: IntCounterVec,
    /// Time of the device, by tenant.
    pub tenant_device_seconds: CounterVec,
    /// Bytes of bodies, by tenant and direction (`in` or `out`).
    pub tenant_bytes: IntCounterVec,
}

impl TenantMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            tenants: gauge(r, "mimi_tenants", "Tenants in the file that is in force")?,
            tenants_reloads: known(
                r,
                "mimi_tenants_reloads_total",
                "Times the file of tenants was read again, by outcome: read, refused",
                ("outcome", &["read", "refused"]),
            )?,
            authentications: counters(
                r,
                "mimi_authentications_total",
                "Requests whose caller was looked for, by outcome: key, certificate, identity, anonymous, no_key, malformed_key, unknown_key, expired_key, unknown_name, anonymous_closed, revoked",
                &["outcome"],
            )?,
            tenant_requests: counters(
                r,
                "mimi_tenant_requests_total",
                "Requests, by tenant and code (ok, an error code, or abandoned)",
                &["tenant", "code"],
            )?,
            tenant_images: counters(
                r,
                "mimi_tenant_images_total",
                "Images answered, by tenant",
                &["tenant"],
            )?,
            tenant_flops: counters(
                r,
                "mimi_tenant_flops_total",
                "Floating-point operations spent, by tenant",
                &["tenant"],
            )?,
            tenant_device_seconds: real_counters(
                r,
                "mimi_tenant_device_seconds_total",
                "Time of the device, by tenant: a row has its part of its batch's run",
                &["tenant"],
            )?,
            tenant_bytes: counters(
                r,
                "mimi_tenant_bytes_total",
                "Bytes of bodies, by tenant and direction: in, out",
                &["tenant", "direction"],
            )?,
        })
    }
}
