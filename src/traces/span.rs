//! A span that ended.

use std::sync::Arc;

use super::context::Context;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// A span that ended.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    /// What other tracers say of its trace.
    pub(super) state: Option<Arc<str>>,
    pub(super) name: &'static str,
    /// Whether it is a request, which a client waits for.
    pub(super) is_request: bool,
    /// Nanoseconds since the epoch.
    pub(super) start: u64,
    /// Nanoseconds since the epoch.
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Spans of other traces that it has to do with.
    pub(super) links: Vec<Context>,
    pub(super) is_failed: bool,
}
