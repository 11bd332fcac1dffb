//! Statuses of methods back to refusals: whoever charges a request knows no gRPC.

use std::error::Error as _;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code as Grpc, Status};

use super::door::Door;
use super::status;
use crate::metrics::NO_TASK;
use crate::service::Refusal;
use crate::tenants::Caller;

/// The layer. A refusal that no method gave, for a message that does not come or cannot be read, is counted here.
pub(super) async fn layer(State(door): State<Door>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        door.service.count(caller.as_ref(), NO_TASK, refusal.into(), None);
        return response;
    }
    if let Some(refusal) = response.extensions().get::<Status>().and_then(given) {
        response.extensions_mut().insert(refusal);
        return response;
    }
    let Some(refusal) = of_machinery(&response, &path) else { return response };
    door.service.count(caller.as_ref(), NO_TASK, (&refusal).into(), None);
    status::answer(refusal)
}

/// The refusal that a method gave.
fn given(status: &Status) -> Option<Refusal> {
    status.source()?.downcast_ref::<Refusal>().cloned()
}

/// The refusal of gRPC's machinery, where no method gave one: it tells it by headers alone for a method that there is not.
fn of_machinery(response: &Response, path: &str) -> Option<Refusal> {
    let told = Status::from_header_map(response.headers())?;
    let words = match told.code() {
        Grpc::Ok => return None,
        Grpc::Unimplemented if told.message().is_empty() => format!("{path} is not offered"),
        _ => told.message().to_owned(),
    };
    Some(Refusal::new(status::code(told.code()), words))
}
