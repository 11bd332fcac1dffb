//! The file of tenants, checked and ready to be looked up in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::account::Account;
use super::accounts::Accounts;
use super::error::{Error, shown};
use super::file::{AnonymousEntry, KeyEntry, TenantEntry, TenantsFile};
use super::name::{KeyId, TenantName};
use super::owners::Owners;
use super::pattern::{Pattern, Patterns, overlap};
use super::quota::{Limits, Quota};
use super::scope::{Scope, Scopes};
use super::tenant::{Key, Tenant};
use crate::usage::NO_TENANT;

/// Most tenants of a file.
const MOST_TENANTS: usize = 100_000;
/// Most keys, patterns, certificates or identities of one tenant.
const MOST_OF_EACH: usize = 1000;
/// Largest weight.
const MOST_WEIGHT: u32 = 1000;
/// Longest name of a certificate or an identity, bytes.
const LONGEST_NAME: usize = 512;
/// The name under which requests without a key are counted.
const ANONYMOUS: &str = "anonymous";
/// Names that no tenant may have: those of requests without a key, of a server without tenants, and of series that stand
/// for several tenants.
const TAKEN: [&str; 3] = [ANONYMOUS, NO_TENANT, "other"];

/// Tenants and what proves to be one.
#[derive(Debug, Default)]
pub struct Registry {
    pub(super) tenants: HashMap<TenantName, Arc<Tenant>>,
    pub(super) keys: HashMap<KeyId, Key>,
    pub(super) certificates: HashMap<Arc<str>, Arc<Tenant>>,
    pub(super) identities: HashMap<Arc<str>, Arc<Tenant>>,
    pub(super) anonymous: Option<Anonymous>,
    pub(super) owners: Owners,
    /// Counts up from one file to the next.
    pub(super) version: u64,
}

/// Requests without a key.
#[derive(Debug)]
pub(super) struct Anonymous {
    pub(super) tenant: Arc<Tenant>,
    pub(super) until: Option<Timestamp>,
}

impl Registry {
    /// Checks a file. Accounts of tenants that were there before go on.
    ///
    /// # Errors
    /// The first rule that the file breaks, with the tenant that breaks it.
    pub(super) fn new(file: &TenantsFile, accounts: &mut Accounts, now: Instant) -> Result<Self, Error> {
        if file.tenants.len() > MOST_TENANTS {
            return Err(Error::Rule(format!("{} tenants: at most {MOST_TENANTS}", file.tenants.len())));
        }
        let owned = check_owners(file)?;
        let mut registry = Self::default();
        for (name, entry) in &file.tenants {
            registry.add(name, entry, accounts, now).map_err(|error| match error {
                Error::Tenant { .. } => error,
                error => Error::of(name, error),
            })?;
        }
        registry.owners = owned
            .into_iter()
            .filter_map(|(pattern, owner)| Some((pattern, registry.tenants.get(owner)?)))
            .collect();
        let anonymous = file.anonymous.as_ref().map(|entry| anonymous(entry, accounts, now)).transpose();
        registry.anonymous = anonymous.map_err(|error| Error::of(ANONYMOUS, error))?;
        Ok(registry)
    }

    fn add(
        &mut self,
        name: &str,
        entry: &TenantEntry,
        accounts: &mut Accounts,
        now: Instant,
    ) -> Result<(), Error> {
        let name: TenantName = name.parse()?;
        if TAKEN.contains(&name.as_str()) {
            return Err(Error::Rule(format!("the name {name} is taken: {} have a use", TAKEN.join(", "))));
        }
        check_counts(entry)?;
        let account = account(&name, Held::of(entry), accounts, now)?;
        let tenant = Arc::new(Tenant {
            owned: patterns(&entry.tasks)?,
            used: patterns(&entry.uses)?,
            weight: entry.weight,
            scopes: entry.scopes.iter().copied().collect(),
            keeps_prefixes: entry.prefix_cache,
            account,
            name: name.clone(),
        });
        for (id, key) in &entry.keys {
            self.add_key(id, key, &tenant)?;
        }
        add_names(&mut self.certificates, &entry.certificates, "certificate", &tenant)?;
        add_names(&mut self.identities, &entry.identities, "identity", &tenant)?;
        self.tenants.insert(name, tenant);
        Ok(())
    }

    fn add_key(&mut self, id: &str, entry: &KeyEntry, tenant: &Arc<Tenant>) -> Result<(), Error> {
        let id: KeyId = id.parse()?;
        let digest = entry.sha256.parse().map_err(|error| Error::Rule(format!("key {id}: {error}")))?;
        let scopes: Scopes = entry.scopes.iter().copied().collect();
        if scopes == Scopes::NONE {
            return Err(Error::Rule(format!("key {id}: no scopes")));
        }
        let key = Key { id: id.clone(), digest, scopes, expires: entry.expires, tenant: Arc::clone(tenant) };
        match self.keys.insert(id, key) {
            Some(other) => {
                Err(Error::Rule(format!("key {}: tenant {} has one of this id", other.id, other.tenant.name)))
            }
            None => Ok(()),
        }
    }
}

/// Each task has one owner.
fn check_owners(file: &TenantsFile) -> Result<Vec<(Pattern, &str)>, Error> {
    let mut all: Vec<(Pattern, &str)> = Vec::new();
    for (tenant, entry) in &file.tenants {
        for text in &entry.tasks {
            let pattern = Pattern::parse(text).map_err(|error| Error::of(tenant, error))?;
            all.push((pattern, tenant));
        }
    }
    if let Some(at) = overlap(&mut all) {
        let [(a, one), (b, other)] = at.map(|at| &all[at]);
        let reason = format!("its tasks {b} and the tasks {a} of tenant {one} have names in common");
        return Err(Error::of(other, reason));
    }
    Ok(all)
}

fn check_counts(entry: &TenantEntry) -> Result<(), Error> {
    let TenantEntry { tasks, uses, keys, certificates, identities, weight, .. } = entry;
    let counts = [tasks.len(), uses.len(), keys.len(), certificates.len(), identities.len()];
    let names = ["tasks", "uses", "keys", "certificates", "identities"];
    if let Some((count, name)) = counts.iter().zip(names).find(|(count, _)| **count > MOST_OF_EACH) {
        return Err(Error::Rule(format!("{count} {name}: at most {MOST_OF_EACH}")));
    }
    check_weight(*weight)
}

fn check_weight(weight: u32) -> Result<(), Error> {
    if (1..=MOST_WEIGHT).contains(&weight) {
        Ok(())
    } else {
        Err(Error::Rule(format!("weight = {weight}: expected 1 to {MOST_WEIGHT}")))
    }
}

/// Quotas and limits of an entry.
struct Held<'a> {
    quota: &'a super::file::QuotaEntry,
    limits: &'a super::file::LimitsEntry,
}

impl<'a> Held<'a> {
    fn of(entry: &'a TenantEntry) -> Self {
        Self { quota: &entry.quota, limits: &entry.limits }
    }
}

fn account(
    name: &TenantName,
    Held { quota, limits }: Held<'_>,
    accounts: &mut Accounts,
    now: Instant,
) -> Result<Arc<Account>, Error> {
    Ok(accounts.of(name, Quota::new(quota)?, Limits::new(limits)?, now))
}

fn patterns(texts: &[String]) -> Result<Patterns, Error> {
    texts.iter().map(|text| Pattern::parse(text)).collect()
}

fn add_names(
    all: &mut HashMap<Arc<str>, Arc<Tenant>>,
    names: &[String],
    kind: &str,
    tenant: &Arc<Tenant>,
) -> Result<(), Error> {
    for name in names {
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(Error::Rule(format!(
                "a {kind} is empty, longer than {LONGEST_NAME} bytes or has controls"
            )));
        }
        if let Some(other) = all.insert(name.as_str().into(), Arc::clone(tenant)) {
            let shown = shown(name);
            return Err(Error::Rule(format!("{kind} {shown:?} stands for tenant {} too", other.name)));
        }
    }
    Ok(())
}

fn anonymous(entry: &AnonymousEntry, accounts: &mut Accounts, now: Instant) -> Result<Anonymous, Error> {
    if let Some(scope) = entry.scopes.iter().find(|scope| !matches!(scope, Scope::Infer | Scope::Read)) {
        return Err(Error::Rule(format!(
            "scope {scope}: a request without a key may only have infer and read"
        )));
    }
    check_weight(entry.weight)?;
    let name: TenantName = ANONYMOUS.parse()?;
    let held = Held { quota: &entry.quota, limits: &entry.limits };
    let tenant = Arc::new(Tenant {
        account: account(&name, held, accounts, now)?,
        name,
        owned: Patterns::default(),
        used: patterns(&entry.uses)?,
        weight: entry.weight,
        scopes: entry.scopes.iter().copied().collect(),
        keeps_prefixes: true,
    });
    Ok(Anonymous { tenant, until: entry.until })
}
