//! Series by tenant, a bounded number.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::charge::Sum;
use crate::metrics::Metrics;

/// The label of tenants without one of their own.
const OTHER: &str = "other";
/// How often a label may go to a tenant that uses more.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// How often everybody's use is compared; every caller of `/v1/usage` would else cause it.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// Which tenants have a label of their own.
///
/// A tenant that used twice as much as the least of those with a label takes its place. The other one's series end and
/// `other` takes their values over, so that sums over tenants stay exact and no series ever goes back.
pub(super) struct Labels {
    metrics: Arc<Metrics>,
    most: usize,
    own: HashSet<Arc<str>>,
    /// Tenants that had a label; one who came back would go back.
    past: HashSet<Arc<str>>,
    /// What everybody used since the start.
    used: HashMap<Arc<str>, Sum>,
    codes: HashSet<&'static str>,
    changed: Option<Timestamp>,
    reviewed: Option<Timestamp>,
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labels").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Labels {
    pub(super) fn new(metrics: Arc<Metrics>, most: usize) -> Self {
        let (own, past, used) = (HashSet::new(), HashSet::new(), HashMap::new());
        Self { metrics, most, own, past, used, codes: HashSet::new(), changed: None, reviewed: None }
    }

    /// Adds what a tenant used.
    pub(super) fn add(&mut self, tenant: &Arc<str>, sum: &Sum) {
        self.admit(tenant);
        match self.used.get_mut(tenant) {
            Some(used) => used.add(sum),
            None => {
                self.used.insert(Arc::clone(tenant), *sum);
            }
        }
        let (label, metrics) = (self.label(tenant), &self.metrics);
        metrics.tenants.tenant_images.with_label_values(&[label]).inc_by(sum.images);
        metrics.tenants.tenant_flops.with_label_values(&[label]).inc_by(sum.flops);
        metrics.tenants.tenant_device_seconds.with_label_values(&[label]).inc_by(sum.device_us as f64 / 1e6);
        metrics.tenants.tenant_bytes.with_label_values(&[label, "in"]).inc_by(sum.bytes_in);
        metrics.tenants.tenant_bytes.with_label_values(&[label, "out"]).inc_by(sum.bytes_out);
    }

    /// Counts a tenant's requests that ended with a code.
    pub(super) fn count(&mut self, tenant: &Arc<str>, code: &'static str, requests: u64) {
        self.admit(tenant);
        self.codes.insert(code);
        self.metrics.tenants.tenant_requests.with_label_values(&[self.label(tenant), code]).inc_by(requests);
    }

    /// Gives a label to whoever uses most without one, if it is time.
    pub(super) fn review(&mut self, now: Timestamp) {
        let is_early = |at: Option<Timestamp>, least| at.is_some_and(|at| now >= at && now - at < least);
        let is_full = self.own.len() >= self.most;
        if !is_full || is_early(self.changed, PATIENCE) || is_early(self.reviewed, PAUSE) {
            return;
        }
        self.reviewed = Some(now);
        let used = |tenant: &&Arc<str>| self.used(tenant).flops;
        let least = self.own.iter().min_by_key(used).cloned();
        let without = self.used.keys().filter(|tenant| !self.own.contains(*tenant));
        let greatest = without.filter(|tenant| !self.past.contains(*tenant)).max_by_key(used).cloned();
        if let (Some(least), Some(greatest)) = (least, greatest)
            && used(&&greatest) > used(&&least).saturating_mul(2)
        {
            self.changed = Some(now);
            self.end(&least);
            self.own.insert(greatest);
        }
    }

    /// What a tenant used since the start.
    pub(super) fn used(&self, tenant: &str) -> Sum {
        self.used.get(tenant).copied().unwrap_or_default()
    }

    fn admit(&mut self, tenant: &Arc<str>) {
        let is_new = !self.own.contains(tenant) && !self.past.contains(tenant);
        if is_new && self.own.len() < self.most {
            self.own.insert(Arc::clone(tenant));
        }
    }

    fn label<'a>(&self, tenant: &'a Arc<str>) -> &'a str {
        if self.own.contains(tenant) { tenant } else { OTHER }
    }

    /// Ends a tenant's series; `other` takes their values over.
    fn end(&mut self, tenant: &Arc<str>) {
        self.own.remove(tenant);
        self.past.insert(Arc::clone(tenant));
        let m = &self.metrics;
        let families = [(&m.tenants.tenant_images, None), (&m.tenants.tenant_flops, None)];
        let directions = ["in", "out"].map(|way| (&m.tenants.tenant_bytes, Some(way)));
        let codes = self.codes.iter().map(|code| (&m.tenants.tenant_requests, Some(*code)));
        for (family, second) in families.into_iter().chain(directions).chain(codes) {
            let with = |first| [Some(first), second].into_iter().flatten().collect::<Vec<_>>();
            let value = family.with_label_values(&with(tenant)).get();
            // A series that never was is not an error here.
            let _ = family.remove_label_values(&with(tenant));
            if value > 0 {
                family.with_label_values(&with(OTHER)).inc_by(value);
            }
        }
        let seconds = m.tenants.tenant_device_seconds.with_label_values(&[tenant]).get();
        let _ = m.tenants.tenant_device_seconds.remove_label_values(&[tenant]);
        m.tenants.tenant_device_seconds.with_label_values(&[OTHER]).inc_by(seconds);
    }
}
