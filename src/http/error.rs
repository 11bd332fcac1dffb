//! Failures as answers.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::status::status;
use crate::service::{Code, Ending, Error, Refusal};

/// Body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What went wrong, for people.
    pub(super) error: String,
    /// What went wrong, for programs.
    pub(super) code: &'static str,
}

impl From<&Refusal> for ErrorBody {
    fn from(refusal: &Refusal) -> Self {
        Self { error: refusal.told.clone(), code: refusal.code.as_str() }
    }
}

/// Why a request has no answer: reasons that only this door knows, and those of the service.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is no such route")]
    NoRoute,
    #[error("this route does not take that method")]
    MethodNotAllowed,
    #[error("the body is larger than the {limit} bytes allowed")]
    BodyTooLarge { limit: usize },
    #[error("content-encoding = {given}: expected gzip, zstd or identity")]
    ContentEncoding { given: String },
    #[error("the body did not come within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error(transparent)]
    Service(#[from] Error),
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl ApiError {
    /// A request that is not understood.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Service(Error::Invalid(reason.into()))
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::NoRoute => Code::NotFound,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::BodyTooLarge { .. } => Code::ImageTooLarge,
            Self::ContentEncoding { .. } => Code::UnsupportedMediaType,
            Self::BodyTimeout { .. } => Code::BodyTimeout,
            Self::Service(error) => error.code(),
        }
    }

    /// How the request ended.
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Service(error) => Ending::from(error),
            own => own.code().into(),
        }
    }

    /// The refusal, which says it all.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Service(error) => Refusal::from(error),
            own => Refusal::new(own.code(), own.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = (status(refusal.code), Json(ErrorBody::from(&refusal))).into_response();
        if refusal.code == Code::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer realm=\"mimi-server\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = refusal.retry {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Whoever charges the request reads it, and whoever tells it in another protocol.
        response.extensions_mut().insert(refusal);
        response
    }
}
