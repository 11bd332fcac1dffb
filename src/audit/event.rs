//! What happened, and who did it.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::journal::time::text;

/// Longest text of an event, characters.
const LONGEST: usize = 256;

/// Who did something, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The tenant.
    pub tenant: Option<Arc<str>>,
    /// The key's id; never its secret.
    pub key: Option<Arc<str>>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A version went live.
    Published {
        /// The task.
        task: String,
        /// The version.
        version: u64,
    },
    /// A version did not go live.
    RefusedPublish {
        /// The task.
        task: String,
        /// Why.
        reason: String,
    },
    /// Somebody asked that a task answer nothing.
    Unloaded {
        /// The task.
        task: String,
    },
    /// Somebody confirmed what stands in the place of the folder of packs.
    Confirm {
        /// How many tasks that unpublished.
        unpublished: u64,
    },
    /// A tenants' file came into force.
    TenantsReloaded {
        /// How many tenants it names.
        tenants: u64,
    },
    /// A tenants' file was refused; the rules before it stay.
    TenantsRefused {
        /// Why.
        reason: String,
    },
    /// A key is new.
    KeyAdded {
        /// Its id.
        id: String,
    },
    /// A key has changed.
    KeyChanged {
        /// Its id.
        id: String,
        /// What of it, of a fixed list.
        what: Vec<&'static str>,
    },
    /// A key no longer works.
    KeyRevoked {
        /// Its id.
        id: String,
    },
    /// Somebody showed no key, or none that works.
    AuthenticationFailed {
        /// Why, of a fixed list.
        reason: &'static str,
    },
    /// A key may not do that.
    ScopeRefused {
        /// What it would need, of a fixed list.
        scope: &'static str,
        /// The task, if one was named.
        task: Option<String>,
    },
}

impl Event {
    /// Its name in lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::RefusedPublish { .. } => "refused_publish",
            Self::Unloaded { .. } => "unloaded",
            Self::Confirm { .. } => "confirm",
            Self::TenantsReloaded { .. } => "tenants_reloaded",
            Self::TenantsRefused { .. } => "tenants_refused",
            Self::KeyAdded { .. } => "key_added",
            Self::KeyChanged { .. } => "key_changed",
            Self::KeyRevoked { .. } => "key_revoked",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::ScopeRefused { .. } => "scope_refused",
        }
    }

    /// Whether an operator had better look.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::RefusedPublish { .. }
                | Self::TenantsRefused { .. }
                | Self::AuthenticationFailed { .. }
                | Self::ScopeRefused { .. }
        )
    }

    /// Its own fields by name.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::from(bounded(text));
        match self {
            Self::Published { task, version } => vec![("task", text(task)), ("version", (*version).into())],
            Self::RefusedPublish { task, reason } => vec![("task", text(task)), ("reason", text(reason))],
            Self::Unloaded { task } => vec![("task", text(task))],
            Self::Confirm { unpublished } => vec![("unpublished", (*unpublished).into())],
            Self::TenantsReloaded { tenants } => vec![("tenants", (*tenants).into())],
            Self::TenantsRefused { reason } => vec![("reason", text(reason))],
            Self::KeyAdded { id } | Self::KeyRevoked { id } => vec![("id", text(id))],
            Self::KeyChanged { id, what } => vec![("id", text(id)), ("what", what.clone().into())],
            Self::AuthenticationFailed { reason } => vec![("reason", text(reason))],
            Self::ScopeRefused { scope, task } => {
                let task = task.iter().map(|task| ("task", text(task)));
                [("scope", text(scope))].into_iter().chain(task).collect()
            }
        }
    }
}

/// The fields of a line that every event has.
pub(super) fn line(at: Timestamp, name: &str, who: &Who) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("v".into(), 1.into());
    line.insert("time".into(), text(at).into());
    line.insert("event".into(), name.into());
    for (name, value) in [("tenant", &who.tenant), ("key", &who.key)] {
        if let Some(value) = value {
            line.insert(name.into(), bounded(value).into());
        }
    }
    if let Some(address) = who.address {
        line.insert("address".into(), address.to_string().into());
    }
    line
}

/// A text's beginning; JSON escapes what is no letter in it.
fn bounded(text: &str) -> String {
    if text.chars().nth(LONGEST).is_none() {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
