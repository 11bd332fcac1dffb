//! Who did what: published, confirmed, changed tenants, showed a key that is none.
//!
//! [`Audit::record`] never waits: an event goes to the tracing log at once and to a thread that writes it. Events that a
//! client can repeat are written up to a number for each key or address, and counted beyond. No event holds a secret, a
//! secret's hash or an image.
//!
//! | file | holds |
//! |---|---|
//! | `event` | [`Event`], [`Who`], and their line |
//! | `limiter` | how many alike events are written |
//! | `handle` | [`Audit`], and the thread that writes |

mod event;
mod handle;
mod limiter;

pub use event::{Event, Who};
pub use handle::{Audit, AuditOptions, FAMILY};
pub use limiter::{Count, Limiter};
