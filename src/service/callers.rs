//! Callers as they are counted.

use super::code::Code;
use super::handle::Service;
use crate::metrics::NO_TASK;
use crate::tenants::{Caller, Proof};

impl Service {
    /// Counts a caller that was recognised, by what proved it.
    pub fn recognised(&self, caller: &Caller) {
        let outcome = match caller.proof() {
            None => return,
            Some(Proof::Key(_)) => "key",
            Some(Proof::Certificate(_)) => "certificate",
            Some(Proof::Identity(_)) => "identity",
            Some(Proof::Anonymous) => "anonymous",
        };
        self.shared.metrics.tenants.authentications.with_label_values(&[outcome]).inc();
    }

    /// Counts a request that was refused since nothing proved who sent it.
    pub fn denied(&self, outcome: &str) {
        self.shared.metrics.tenants.authentications.with_label_values(&[outcome]).inc();
        self.count(None, NO_TASK, Code::Unauthenticated.into(), None);
    }
}
