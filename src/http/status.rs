//! The one table from code to status.

use axum::http::StatusCode;

use crate::service::Code;

/// The status that a code is answered with.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::TaskNotFound => StatusCode::NOT_FOUND,
        Code::InvalidRequest => StatusCode::BAD_REQUEST,
        Code::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ImageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidImage => StatusCode::UNPROCESSABLE_ENTITY,
        Code::PackInvalid => StatusCode::UNPROCESSABLE_ENTITY,
        Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Code::MemoryFull => StatusCode::TOO_MANY_REQUESTS,
        Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        Code::TaskBroken => StatusCode::INTERNAL_SERVER_ERROR,
        Code::InferenceFailed => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_to_retry_where_the_status_says_so_too() {
        for code in Code::ALL {
            let retried = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            assert_eq!(code.retry().is_some(), retried.contains(&status(code)), "{code:?}");
        }
    }
}
