//! What a request shows of who sends it, and what that proves.

use std::sync::Arc;

use jiff::Timestamp;

use super::caller::{Caller, Proof};
use super::registry::Registry;
use super::scope::Scope;
use super::secret::{Digest, id_in};
use super::tenant::Tenant;

/// What a request shows, out of whatever protocol it came by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// A key. If there is one, it alone counts.
    pub key: Option<&'a str>,
    /// The name that a trusted gateway gives.
    pub identity: Option<&'a str>,
    /// Names in the verified client certificate.
    pub certificate: &'a [String],
}

/// Why a caller is not known. Clients are not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It shows nothing.
    Nothing,
    /// What it shows as a key has not the form of one.
    Malformed,
    /// No key has this id, or the secret is another.
    Unknown,
    /// The key has ended.
    Expired,
    /// No tenant has this certificate's or this identity's name.
    Stranger,
    /// Requests without a key were let in until a moment that has passed.
    Closed,
}

impl Denied {
    /// The word in metrics and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "no_key",
            Self::Malformed => "malformed_key",
            Self::Unknown => "unknown_key",
            Self::Expired => "expired_key",
            Self::Stranger => "unknown_name",
            Self::Closed => "anonymous_closed",
        }
    }
}

/// A caller, and when what proves it ends.
type Found = (Caller, Option<Timestamp>);

impl Registry {
    /// Who shows these credentials.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) fn authenticate(&self, shown: &Credentials<'_>, now: Timestamp) -> Result<Found, Denied> {
        if let Some(text) = shown.key {
            return self.by_key(text, now);
        }
        if let Some(name) = shown.identity {
            let tenant = self.identities.get_key_value(name);
            let caller = tenant.map(|(name, tenant)| named(tenant, Proof::Identity(Arc::clone(name))));
            return caller.map(|caller| (caller, None)).ok_or(Denied::Stranger);
        }
        let known = shown.certificate.iter().find_map(|name| self.certificates.get_key_value(name.as_str()));
        if let Some((name, tenant)) = known {
            return Ok((named(tenant, Proof::Certificate(Arc::clone(name))), None));
        }
        self.unnamed(shown, now)
    }

    fn by_key(&self, text: &str, now: Timestamp) -> Result<Found, Denied> {
        let id = id_in(text).ok_or(Denied::Malformed)?;
        let digest = Digest::of(text);
        let key = self.keys.get(id);
        // Compared even where there is no such key: the time does not tell which ids exist.
        let is_right = digest.is(key.map_or(&Digest::NONE, |key| &key.digest));
        let key = key.filter(|_| is_right).ok_or(Denied::Unknown)?;
        if key.is_over(now) {
            return Err(Denied::Expired);
        }
        Ok((Caller::of(&key.tenant, Proof::Key(key.id.clone()), key.scopes), key.expires))
    }

    fn unnamed(&self, shown: &Credentials<'_>, now: Timestamp) -> Result<Found, Denied> {
        let reason = if shown.certificate.is_empty() { Denied::Nothing } else { Denied::Stranger };
        let anonymous = self.anonymous.as_ref().ok_or(reason)?;
        if anonymous.until.is_some_and(|until| until <= now) {
            return Err(Denied::Closed);
        }
        Ok((named(&anonymous.tenant, Proof::Anonymous), anonymous.until))
    }

    /// What a caller that was known by an earlier file may do now.
    ///
    /// # Errors
    /// When it is known no more.
    pub(super) fn again(
        &self,
        caller: &Caller,
        shown: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let (fresh, _) = self.authenticate(shown, now)?;
        let same = fresh.tenant().map(|tenant| &tenant.name) == caller.tenant().map(|tenant| &tenant.name);
        let lost = Scope::ALL.into_iter().any(|scope| caller.has(scope) && !fresh.has(scope));
        if same && !lost { Ok(()) } else { Err(Denied::Unknown) }
    }
}

fn named(tenant: &Arc<Tenant>, proof: Proof) -> Caller {
    Caller::of(tenant, proof, tenant.scopes)
}
