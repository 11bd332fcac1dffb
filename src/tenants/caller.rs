//! Who asks, once that is proved.

use std::net::IpAddr;
use std::sync::Arc;

use super::name::KeyId;
use super::scope::{Scope, Scopes};
use super::tenant::Tenant;
use crate::access::Notes;
use crate::audit;
use crate::engine::Share;
use crate::pack::TaskId;
use crate::usage::{Billed, NO_TENANT};

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    scopes: Scopes,
    address: Option<IpAddr>,
    notes: Option<Arc<Notes>>,
}

#[derive(Clone, Debug)]
enum Who {
    /// A server without tenants: everybody.
    Everybody,
    /// A tenant, by what proves it.
    Tenant { tenant: Arc<Tenant>, proof: Proof },
}

/// By what a caller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A key.
    Key(KeyId),
    /// A name in a client certificate.
    Certificate(Arc<str>),
    /// A name in a trusted gateway's header.
    Identity(Arc<str>),
    /// Nothing: the file lets requests without a key in.
    Anonymous,
}

impl Caller {
    /// Everybody, on a server without tenants.
    pub fn everybody() -> Self {
        Self { who: Who::Everybody, scopes: Scope::ALL.into_iter().collect(), address: None, notes: None }
    }

    pub(super) fn of(tenant: &Arc<Tenant>, proof: Proof, scopes: Scopes) -> Self {
        Self { who: Who::Tenant { tenant: Arc::clone(tenant), proof }, scopes, address: None, notes: None }
    }

    /// The same caller, at an address.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same caller, of whose request notes are taken; its tenant is the first.
    #[must_use]
    pub fn noted(self, notes: Option<Arc<Notes>>) -> Self {
        if let (Some(notes), Some(tenant)) = (&notes, self.tenant()) {
            notes.tenant(tenant.name().shared());
        }
        Self { notes, ..self }
    }

    /// Notes that its request asks for a task.
    pub fn asks(&self, task: &TaskId) {
        if let Some(notes) = &self.notes {
            notes.task(task.shared());
        }
    }

    /// Who that is, for the audit log.
    pub fn who(&self) -> audit::Who {
        let tenant = self.tenant().map(|tenant| tenant.name().shared());
        audit::Who { tenant, key: self.key().map(KeyId::shared), address: self.address }
    }

    /// Whose use it is.
    pub fn billed(&self, task: Option<Arc<str>>) -> Billed {
        let tenant = self.tenant().map_or_else(|| NO_TENANT.into(), |tenant| tenant.name().shared());
        Billed { tenant, key: self.key().map(KeyId::shared), task }
    }

    /// Whether it has a scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Its tenant; none on a server without tenants.
    pub fn tenant(&self) -> Option<&Arc<Tenant>> {
        match &self.who {
            Who::Everybody => None,
            Who::Tenant { tenant, .. } => Some(tenant),
        }
    }

    /// By what it is known; none on a server without tenants.
    pub fn proof(&self) -> Option<&Proof> {
        match &self.who {
            Who::Everybody => None,
            Who::Tenant { proof, .. } => Some(proof),
        }
    }

    /// The key that it gave, if it gave one.
    pub fn key(&self) -> Option<&KeyId> {
        match self.proof()? {
            Proof::Key(id) => Some(id),
            Proof::Certificate(_) | Proof::Identity(_) | Proof::Anonymous => None,
        }
    }

    /// Whether it may have images answered under a task.
    pub fn may_use(&self, task: &TaskId) -> bool {
        self.tenant().is_none_or(|tenant| tenant.may_use(task))
    }

    /// Whether it may know that a task exists.
    pub fn may_see(&self, task: &TaskId) -> bool {
        self.has(Scope::Admin) || self.may_use(task)
    }

    /// What the names of the tasks that it may see begin with, sorted; none begins with another.
    pub fn beginnings(&self) -> Vec<&str> {
        let tenant = self.tenant().filter(|_| !self.has(Scope::Admin));
        tenant.map_or_else(|| vec![""], |tenant| tenant.beginnings())
    }

    /// Whether it may change a task.
    pub fn may_change(&self, task: &TaskId) -> bool {
        self.has(Scope::Admin) || self.tenant().is_none_or(|tenant| tenant.owns(task))
    }

    /// Its part of the device.
    pub fn share(&self) -> Share {
        self.tenant().map_or(Share::EVERYBODY, |tenant| tenant.share())
    }

    /// Whether what frozen blocks give for its images may be kept.
    pub fn keeps_prefixes(&self) -> bool {
        self.tenant().is_none_or(|tenant| tenant.keeps_prefixes())
    }
}
