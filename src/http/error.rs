//! The one table from failure to status.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{catalog, engine, image, pack, reload};

/// Seconds a client is told to wait before it tries again.
const RETRY_AFTER_SECONDS: &str = "1";

/// What a client can tell failures apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request was answered.
    Ok,
    /// No such route.
    NotFound,
    /// The route exists for another method.
    MethodNotAllowed,
    /// No such task.
    TaskNotFound,
    /// The request is not understood.
    InvalidRequest,
    /// The body did not come in time.
    BodyTimeout,
    /// The image or body is too large.
    ImageTooLarge,
    /// The request asks for more at once than is ever served.
    RequestTooLarge,
    /// The bytes are no supported image format.
    UnsupportedMediaType,
    /// The image is broken.
    InvalidImage,
    /// A pack cannot be published.
    PackInvalid,
    /// Too many rows are being served.
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
    pub const ALL: [Self; 19] = [
        Self::Ok,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TaskNotFound,
        Self::InvalidRequest,
        Self::BodyTimeout,
        Self::ImageTooLarge,
        Self::RequestTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidImage,
        Self::PackInvalid,
        Self::Overloaded,
        Self::MemoryFull,
        Self::DeadlineExceeded,
        Self::ShuttingDown,
        Self::NotReady,
        Self::TaskBroken,
        Self::InferenceFailed,
        Self::Internal,
    ];

    /// The word in bodies and metrics, and the status.
    pub fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::Ok => (StatusCode::OK, "ok"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TaskNotFound => (StatusCode::NOT_FOUND, "task_not_found"),
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::ImageTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "image_too_large"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::InvalidImage => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_image"),
            Self::PackInvalid => (StatusCode::UNPROCESSABLE_ENTITY, "pack_invalid"),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            Self::MemoryFull => (StatusCode::TOO_MANY_REQUESTS, "memory_full"),
            Self::DeadlineExceeded => (StatusCode::SERVICE_UNAVAILABLE, "deadline_exceeded"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::TaskBroken => (StatusCode::INTERNAL_SERVER_ERROR, "task_broken"),
            Self::InferenceFailed => (StatusCode::INTERNAL_SERVER_ERROR, "inference_failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Whether the same request may be answered if it is sent again; the answer then says when, by `Retry-After`.
    pub fn retry(self) -> bool {
        matches!(self.parts().0, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The word in bodies and metrics.
    pub fn as_str(self) -> &'static str {
        self.parts().1
    }
}

/// Body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What went wrong, for people.
    pub(super) error: String,
    /// What went wrong, for programs.
    pub(super) code: &'static str,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is no such route")]
    NoRoute,
    #[error("this route does not take that method")]
    MethodNotAllowed,
    #[error("{0}")]
    InvalidRequest(String),
    #[error("the body is larger than the {limit} bytes allowed")]
    BodyTooLarge { limit: usize },
    #[error("the body did not come within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error("requests hold {held} bytes and {asked} more would exceed the limit of {limit}")]
    MemoryFull { held: u64, asked: u64, limit: u64 },
    #[error("{0}")]
    TaskId(pack::Error),
    #[error("the server is not ready")]
    NotReady,
    /// A failure of the server's own parts, without its paths; [`AppState`](super::AppState) makes it.
    #[error("{told}")]
    Part { code: Code, told: String },
    #[error("image {index}: {reason}")]
    Image { index: usize, reason: image::Error },
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error("{0}")]
    Internal(String),
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::InvalidRequest(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::InvalidRequest(rejection.body_text())
    }
}

impl ApiError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::NoRoute => Code::NotFound,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::BodyTooLarge { .. } => Code::ImageTooLarge,
            // What is no id names no task.
            Self::TaskId(_) => Code::TaskNotFound,
            Self::BodyTimeout { .. } => Code::BodyTimeout,
            Self::MemoryFull { .. } => Code::MemoryFull,
            Self::NotReady => Code::NotReady,
            Self::Part { code, .. } => *code,
            Self::Image { reason, .. } => image_code(reason),
            Self::Engine(error) => engine_code(error),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The body; causes inside the server are logged, not sent.
    pub(super) fn body(&self) -> ErrorBody {
        let code = self.code();
        let error = match code {
            Code::InferenceFailed | Code::Internal => {
                tracing::error!(error = %self, "a request failed inside the server");
                "the server could not answer; its log says why".into()
            }
            _ => self.to_string(),
        };
        ErrorBody { error, code: code.as_str() }
    }
}

pub(super) fn catalog_code(error: &catalog::Error) -> Code {
    match error {
        catalog::Error::UnknownTask(_) => Code::TaskNotFound,
        // What could not be read now may be read later; what was read and is wrong stays so.
        catalog::Error::NoWorkingVersion { is_passing: true, .. } => Code::NotReady,
        catalog::Error::Pack { reason, .. } if may_be_copied(reason) => Code::NotReady,
        catalog::Error::OutOfReach { .. } | catalog::Error::Folder { .. } => Code::NotReady,
        catalog::Error::NoWorkingVersion { .. } | catalog::Error::Pack { .. } => Code::TaskBroken,
    }
}

/// Whether a file is missing or ends too early, as while it is copied. Whole files of other content stay wrong.
fn may_be_copied(error: &pack::Error) -> bool {
    match error {
        pack::Error::Manifest { source, .. } => source.is_eof(),
        pack::Error::Digest { .. } => false,
        error => error.may_be_incomplete(),
    }
}

fn image_code(error: &image::Error) -> Code {
    match error {
        image::Error::TooManyBytes { .. } | image::Error::TooLarge { .. } => Code::ImageTooLarge,
        image::Error::KnownFormat { .. } | image::Error::UnsupportedFormat { .. } => {
            Code::UnsupportedMediaType
        }
        image::Error::Empty
        | image::Error::UnsupportedFeature { .. }
        | image::Error::Malformed { .. }
        | image::Error::TooElongated { .. } => Code::InvalidImage,
        image::Error::InvalidPreprocessing { .. } => Code::Internal,
    }
}

fn engine_code(error: &engine::Error) -> Code {
    match error {
        engine::Error::Overloaded { .. } => Code::Overloaded,
        engine::Error::NeverFits { .. } => Code::RequestTooLarge,
        engine::Error::DeadlineExceeded => Code::DeadlineExceeded,
        engine::Error::ShuttingDown => Code::ShuttingDown,
        engine::Error::Runtime(_) | engine::Error::WorkerLost => Code::InferenceFailed,
    }
}

pub(super) fn reload_code(error: &reload::Error) -> Code {
    match error.inner() {
        reload::Error::NoVersion(_) => Code::TaskNotFound,
        reload::Error::Listing { .. } | reload::Error::Changed { .. } => Code::NotReady,
        reload::Error::Folder(error) => catalog_code(error),
        // What the system could not read says nothing of the pack.
        reload::Error::Pack(error) if error.is_of_reading() => Code::NotReady,
        reload::Error::Pack(_) | reload::Error::SelfTestImage { .. } | reload::Error::SelfTest { .. } => {
            Code::PackInvalid
        }
        reload::Error::Engine(error) => engine_code(error),
        reload::Error::Shared(_) | reload::Error::Interrupted(_) => Code::Internal,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code();
        let mut response = (code.parts().0, Json(self.body())).into_response();
        if code.retry() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
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

    #[test]
    fn causes_inside_the_server_are_not_sent() {
        let secret = ApiError::Internal("/secret/path".into());
        assert!(!secret.body().error.contains("secret"));
    }
}
