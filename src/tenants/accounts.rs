//! Accounts by tenant, from one version of the file to the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::account::Account;
use super::name::TenantName;
use super::quota::{Limits, Quota};
use crate::engine::Flow;

/// Every account that is in use, and the numbers of their flows.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    known: HashMap<TenantName, Arc<Account>>,
    last: u64,
    /// What a file that is being checked asks for; a file that is refused changes nothing.
    wanted: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    name: TenantName,
    account: Arc<Account>,
    quota: Quota,
    limits: Limits,
}

impl Accounts {
    /// A tenant's account: the one that it has, or a new one. Its quotas change when the file is accepted.
    pub(super) fn of(
        &mut self,
        name: &TenantName,
        quota: Quota,
        limits: Limits,
        now: Instant,
    ) -> Arc<Account> {
        let account = self.known.get(name).cloned().unwrap_or_else(|| {
            self.last += 1;
            Arc::new(Account::new(Flow::new(self.last), quota, limits, now))
        });
        self.wanted.push(Wanted { name: name.clone(), account: Arc::clone(&account), quota, limits });
        account
    }

    /// The file is accepted: its accounts are the known ones, with its quotas.
    pub(super) fn accept(&mut self, now: Instant) {
        let wanted = std::mem::take(&mut self.wanted);
        self.known = wanted
            .into_iter()
            .map(|Wanted { name, account, quota, limits }| {
                account.change(quota, limits, now);
                (name, account)
            })
            .collect();
    }

    /// The file is refused: everything stays as it was.
    pub(super) fn refuse(&mut self) {
        self.wanted.clear();
    }
}
