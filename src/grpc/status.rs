//! The one table from code to gRPC status, and refusals as answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use tonic::metadata::MetadataValue;
use tonic::{Code as Grpc, Status};

use crate::service::{Code, Error, Refusal};

/// Tells a client how long to wait before it tries again, milliseconds (gRPC's retry design, "pushback").
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status that a code is answered with.
pub fn status(code: Code) -> Grpc {
    match code {
        Code::Ok => Grpc::Ok,
        Code::NotFound | Code::MethodNotAllowed => Grpc::Unimplemented,
        Code::Unauthenticated => Grpc::Unauthenticated,
        Code::Forbidden => Grpc::PermissionDenied,
        Code::TaskNotFound => Grpc::NotFound,
        Code::InvalidRequest | Code::InvalidImage | Code::UnsupportedMediaType => Grpc::InvalidArgument,
        Code::PackInvalid => Grpc::FailedPrecondition,
        Code::BodyTimeout | Code::DeadlineExceeded => Grpc::DeadlineExceeded,
        Code::ImageTooLarge | Code::RequestTooLarge => Grpc::ResourceExhausted,
        Code::QuotaExceeded | Code::Overloaded | Code::MemoryFull => Grpc::ResourceExhausted,
        Code::ShuttingDown | Code::NotReady => Grpc::Unavailable,
        Code::TaskBroken | Code::InferenceFailed | Code::Internal => Grpc::Internal,
    }
}

/// The code of a status that gRPC's own machinery gave.
pub(super) fn code(status: Grpc) -> Code {
    match status {
        Grpc::Ok => Code::Ok,
        Grpc::Unimplemented => Code::NotFound,
        Grpc::ResourceExhausted | Grpc::OutOfRange => Code::ImageTooLarge,
        // What cannot be read as a message or a frame came from the client.
        Grpc::Internal | Grpc::InvalidArgument | Grpc::Cancelled => Code::InvalidRequest,
        _ => Code::Internal,
    }
}

/// A refusal as a method gives it.
pub(super) fn refuse(refusal: Refusal) -> Status {
    let mut told = Status::new(status(refusal.code), refusal.told.clone());
    if let Some(wait) = refusal.retry {
        let wait = MetadataValue::from(milliseconds(wait));
        told.metadata_mut().insert(PUSHBACK, wait);
    }
    told.set_source(Arc::new(refusal));
    told
}

/// A failure of the service as a method gives it.
pub(super) fn failed(error: &Error) -> Status {
    refuse(Refusal::from(error))
}

/// A refusal as a whole answer: trailers alone.
pub(super) fn answer(refusal: Refusal) -> Response {
    let mut response = refuse(refusal.clone()).into_http::<Body>();
    response.extensions_mut().insert(refusal);
    response
}

fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_ok() {
        for code in Code::ALL {
            assert_eq!(status(code) == Grpc::Ok, code == Code::Ok, "{code:?}");
        }
    }

    #[test]
    fn clients_are_told_when_to_try_again_only_where_that_may_help() {
        let may_help = [Grpc::ResourceExhausted, Grpc::Unavailable, Grpc::DeadlineExceeded];
        for code in Code::ALL {
            let told = refuse(Refusal::new(code, "x"));
            assert_eq!(told.metadata().contains_key(PUSHBACK), code.retry().is_some(), "{code:?}");
            assert!(code.retry().is_none() || may_help.contains(&status(code)), "{code:?}");
        }
    }
}
