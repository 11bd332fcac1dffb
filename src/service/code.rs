//! Codes of failures. Statuses belong to the doors.

use std::time::Duration;

/// How long a client is told to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The vocabulary by which clients distinguish failures, the same for every door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request was answered.
    Ok,
    /// No such route.
    NotFound,
    /// The route exists for another method.
    MethodNotAllowed,
    /// The request shows nothing that proves who sends it.
    Unauthenticated,
    /// Who sends it may not do that.
    Forbidden,
    /// No such task.
    TaskNotFound,
    /// The request cannot be understood.
    InvalidRequest,
    /// The body did not come in time.
    BodyTimeout,
    /// The image or body is too large.
    ImageTooLarge,
    /// The request asks for more rows than are ever in flight.
    RequestTooLarge,
    /// The bytes are not of a supported image format.
    UnsupportedMediaType,
    /// The image is broken.
    InvalidImage,
    /// A pack cannot be published.
    PackInvalid,
    /// The tenant has used what it may use for now.
    QuotaExceeded,
    /// Too many rows, or requests to publish, are being served.
    Overloaded,
    /// Requests hold as much memory as they may.
    MemoryFull,
    /// No answer in time.
    DeadlineExceeded,
    /// The server is ending.
    ShuttingDown,
    /// The server or the task is not ready.
    NotReady,
    /// No version of the task works.
    TaskBroken,
    /// A run failed.
    InferenceFailed,
    /// Something else failed here.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::Ok,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::TaskNotFound,
        Self::InvalidRequest,
        Self::BodyTimeout,
        Self::ImageTooLarge,
        Self::RequestTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidImage,
        Self::PackInvalid,
        Self::QuotaExceeded,
        Self::Overloaded,
        Self::MemoryFull,
        Self::DeadlineExceeded,
        Self::ShuttingDown,
        Self::NotReady,
        Self::TaskBroken,
        Self::InferenceFailed,
        Self::Internal,
    ];

    /// The word in bodies and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TaskNotFound => "task_not_found",
            Self::InvalidRequest => "invalid_request",
            Self::BodyTimeout => "body_timeout",
            Self::RequestTooLarge => "request_too_large",
            Self::ImageTooLarge => "image_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidImage => "invalid_image",
            Self::PackInvalid => "pack_invalid",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Overloaded => "overloaded",
            Self::MemoryFull => "memory_full",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ShuttingDown => "shutting_down",
            Self::NotReady => "not_ready",
            Self::TaskBroken => "task_broken",
            Self::InferenceFailed => "inference_failed",
            Self::Internal => "internal",
        }
    }

    /// How long to wait before sending the same request again; none if it will fail again.
    pub fn retry(self) -> Option<Duration> {
        match self {
            Self::QuotaExceeded
            | Self::Overloaded
            | Self::MemoryFull
            | Self::DeadlineExceeded
            | Self::ShuttingDown
            | Self::NotReady => Some(RETRY_AFTER),
            Self::Ok
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::TaskNotFound
            | Self::InvalidRequest
            | Self::BodyTimeout
            | Self::ImageTooLarge
            | Self::RequestTooLarge
            | Self::UnsupportedMediaType
            | Self::InvalidImage
            | Self::PackInvalid
            | Self::TaskBroken
            | Self::InferenceFailed
            | Self::Internal => None,
        }
    }

    /// Whether the failure is inside the server: its text goes to the log, not to the client.
    pub fn is_inside(self) -> bool {
        matches!(self, Self::InferenceFailed | Self::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
