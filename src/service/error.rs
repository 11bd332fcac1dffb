//! Why a request has no answer.

use std::time::Duration;

use super::causes;
use super::code::Code;
use crate::tenants::{Exhausted, Measure};
use crate::{engine, image, pack};

/// Why a request has no answer, with what it takes to say so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is not understood.
    #[error("{0}")]
    Invalid(String),
    /// All requests together would hold more memory than they may.
    // Not how many: that tells of other callers.
    #[error("requests hold as many bytes as they may; there is no room for {asked} more")]
    MemoryFull {
        /// Bytes that requests hold.
        held: u64,
        /// Bytes asked for.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// Nothing proves who sends the request. Callers are not told what is wrong with what they showed.
    #[error("the request shows no valid key")]
    Unauthenticated,
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The tenant has used what it may use for now.
    #[error("the tenant's quota of {} is used up ({})", .0.measure.as_str(), amount(.0))]
    Quota(Exhausted),
    /// A name that no task can have.
    #[error("{0}")]
    TaskId(pack::Error),
    /// The server is starting or ending.
    #[error("the server is not ready")]
    NotReady,
    /// Too many requests to publish are being served.
    #[error("{limit} requests to publish are already being served")]
    Publishing {
        /// The limit.
        limit: usize,
    },
    /// A part of the server failed. Its words name no path unless the code keeps them inside.
    #[error("{told}")]
    Part {
        /// The code.
        code: Code,
        /// The part's words.
        told: String,
    },
    /// An image cannot be prepared.
    #[error("image {index}: {reason}")]
    Image {
        /// Which of the request's images.
        index: usize,
        /// Why not.
        reason: image::Error,
    },
    /// The engine gave no answer.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// Something else failed here.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The deadline passed.
    pub fn late() -> Self {
        engine::Error::DeadlineExceeded.into()
    }

    /// The engine answered fewer rows than it was given.
    pub(super) fn missing_row() -> Self {
        Self::Internal("a row has no answer".into())
    }

    /// The code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidRequest,
            Self::MemoryFull { .. } => Code::MemoryFull,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Quota(Exhausted { wait: None, .. }) => Code::RequestTooLarge,
            Self::Quota(_) => Code::QuotaExceeded,
            // An invalid id names no task.
            Self::TaskId(_) => Code::TaskNotFound,
            Self::NotReady => Code::NotReady,
            Self::Publishing { .. } => Code::Overloaded,
            Self::Part { code, .. } => *code,
            Self::Image { reason, .. } => causes::of_image(reason),
            Self::Engine(error) => causes::of_engine(error),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// How long to wait where the same request may be answered if it is sent again.
    pub fn retry(&self) -> Option<Duration> {
        let measured = match self {
            Self::Engine(error) => error.retry_after(),
            Self::Quota(exhausted) => exhausted.wait,
            _ => None,
        };
        measured.or(self.code().retry())
    }

    /// What a caller is told. Causes inside the server are logged instead.
    pub fn told(&self) -> String {
        if self.code().is_inside() {
            tracing::error!(error = %self, "a request failed inside the server");
            return "the server could not answer; its log says why".into();
        }
        self.to_string()
    }
}

/// What a tenant may have of a measure.
fn amount(exhausted: &Exhausted) -> String {
    match exhausted.measure {
        Measure::Rows => format!("{} at once", exhausted.limit),
        _ => format!("{} a second", exhausted.limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_inside_the_server_are_not_told() {
        for error in [Error::Internal("/secret/path".into()), engine::Error::WorkerLost.into()] {
            assert!(!error.told().contains("secret") && !error.told().contains("worker"), "{}", error.told());
        }
    }
}
