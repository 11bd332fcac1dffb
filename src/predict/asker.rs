//! Who answers.

use futures::future::BoxFuture;

use super::question::{Body, Reply};

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may come another time.
    #[error("{0}")]
    Passing(String),
    /// It never will.
    #[error("{0}")]
    Lasting(String),
}

/// Answers requests of the HTTP door.
pub trait Asker: Send + Sync {
    /// Posts a body to a target.
    fn post(&self, target: &str, body: Body) -> BoxFuture<'_, Result<Reply, Failure>>;
}
