//! One tenant, as rules about requests.

use std::sync::Arc;

use jiff::Timestamp;

use super::account::Account;
use super::name::{KeyId, TenantName};
use super::pattern::Patterns;
use super::scope::Scopes;
use super::secret::Digest;
use crate::engine::Share;
use crate::pack::TaskId;

/// A tenant, checked.
#[derive(Debug)]
pub struct Tenant {
    pub(super) name: TenantName,
    pub(super) owned: Patterns,
    pub(super) used: Patterns,
    pub(super) weight: u32,
    /// What certificates and identities allow.
    pub(super) scopes: Scopes,
    pub(super) keeps_prefixes: bool,
    pub(super) account: Arc<Account>,
}

impl Tenant {
    /// Its name.
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// Whether a task is its own.
    pub fn owns(&self, task: &TaskId) -> bool {
        self.owned.fit(task.as_str())
    }

    /// Whether it may use a task: its own, or a shared one.
    pub fn may_use(&self, task: &TaskId) -> bool {
        self.owns(task) || self.used.fit(task.as_str())
    }

    /// What the names of the tasks that it may use begin with, sorted; none begins with another.
    pub fn beginnings(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.owned.beginnings().chain(self.used.beginnings()).collect();
        all.sort_unstable();
        all.dedup_by(|text, before| text.starts_with(*before));
        all
    }

    /// Its part of the device.
    pub fn share(&self) -> Share {
        Share::new(self.account.flow(), self.weight)
    }

    /// What it has used of its quotas.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether what frozen blocks give for its images may be kept.
    pub fn keeps_prefixes(&self) -> bool {
        self.keeps_prefixes
    }
}

/// A key, checked.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) digest: Digest,
    pub(super) scopes: Scopes,
    pub(super) expires: Option<Timestamp>,
    pub(super) tenant: Arc<Tenant>,
}

impl Key {
    /// What of another key with this id is other.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let named = [
            ("tenant", self.tenant.name != other.tenant.name),
            ("secret", self.digest != other.digest),
            ("scopes", self.scopes != other.scopes),
            ("expires", self.expires != other.expires),
        ];
        named.into_iter().filter(|(_, is_other)| *is_other).map(|(name, _)| name).collect()
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}
