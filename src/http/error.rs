//! Failures as answers.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::status::status;
use crate::engine;
use crate::service::{Code, Error};

/// Marks the answer to a request that was turned away since its turn would come too late; its code does not tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtTheDoor;

/// What an answer that is a failure tells, for doors that write it in another form.
#[derive(Clone, Debug)]
pub(super) struct Told(pub(super) String);

/// Body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What went wrong, for people.
    pub(super) error: String,
    /// What went wrong, for programs.
    pub(super) code: &'static str,
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
            Self::BodyTimeout { .. } => Code::BodyTimeout,
            Self::Service(error) => error.code(),
        }
    }

    /// How long to wait before the same request.
    pub(super) fn retry(&self) -> Option<Duration> {
        match self {
            Self::Service(error) => error.retry(),
            own => own.code().retry(),
        }
    }

    /// The body.
    pub(super) fn body(&self) -> ErrorBody {
        let error = match self {
            Self::Service(error) => error.told(),
            own => own.to_string(),
        };
        ErrorBody { error, code: self.code().as_str() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code();
        let body = self.body();
        let told = Told(body.error.clone());
        let mut response = (status(code), Json(body)).into_response();
        response.extensions_mut().insert(told);
        // Whoever charges the request reads it.
        response.extensions_mut().insert(code);
        if matches!(self, Self::Service(Error::Engine(engine::Error::TooLate { .. }))) {
            response.extensions_mut().insert(AtTheDoor);
        }
        if code == Code::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer realm=\"mimi-server\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
