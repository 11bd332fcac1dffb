//! What is wanted of a caller.

use super::Scope;

/// What a route or a method wants of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health, and pages that say nothing of any tenant.
    Nothing,
    /// To be known: there is no such route.
    Known,
    /// A scope.
    Scope(Scope),
}
