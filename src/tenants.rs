//! Who may use the server, and how much of it.
//!
//! A file names tenants: keys with scopes, the tasks that are theirs, weights, quotas. It is read again when it changes; a
//! wrong one leaves the one before in force. Whatever door a request comes by, its [`Credentials`] make a [`Caller`], and
//! everything behind the doors asks the caller what it may do.
//!
//! | file | holds |
//! |---|---|
//! | `file` | the file as it is written: [`TenantsFile`] |
//! | `registry` | the file checked, ready to be looked up in |
//! | `handle` | the tenants of a running server, read again when the file changes: [`Tenants`] |
//! | `credentials` | what a request shows, and what that proves |
//! | `owners` | whose a task is |
//! | `caller`, `tenant` | who asks, and what it may do |
//! | `secret`, `name`, `scope`, `pattern` | keys and their digests; names; what keys allow; names of tasks |
//! | `edit` | changes of the file that leave its comments |
//! | `account`, `accounts`, `bucket`, `quota` | what a tenant has used of its quotas |

mod account;
mod accounts;
mod bucket;
mod caller;
mod credentials;
mod edit;
mod error;
mod file;
mod handle;
mod name;
mod need;
mod owners;
mod pattern;
mod quota;
mod registry;
mod scope;
mod secret;
mod tenant;

pub use account::{Account, Exhausted, Left, Rows, Turn};
pub use caller::{Caller, Proof};
pub use credentials::{Credentials, Denied};
pub use edit::{NewKey, add_key, check, revoke_keys};
pub use error::Error;
pub use file::{AnonymousEntry, KeyEntry, LimitsEntry, QuotaEntry, TenantEntry, TenantsFile};
pub use handle::{Known, LOOK, Looked, Status, Tenants};
pub use name::{KeyId, TenantName};
pub use need::Need;
pub use quota::Measure;
pub use scope::{Scope, Scopes};
pub use secret::{Digest, Secret};
pub use tenant::Tenant;
