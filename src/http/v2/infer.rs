//! `POST /v2/models/{model}/infer`.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};

use super::answer::{self, Answer};
use super::request::{self, JSON_LENGTH, Read};
use super::route::{Named, of_model};
use crate::http::access::Asking;
use crate::http::arrival::Arrival;
use crate::http::bill::Costs;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::state::AppState;
use crate::metrics::NO_TASK;
use crate::oip::{InferRequest, Inferred};
use crate::tenants::Caller;

pub(super) fn router() -> Router<AppState> {
    of_model("/infer", &post(infer))
}

/// Answers images under a model.
///
/// The body is JSON, or JSON with tensors in binary behind it and its length in `Inference-Header-Content-Length`. The
/// value 0 there means that the body is one encoded image and nothing else.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/infer",
    params(("model" = String, Path, description = "The task"),
        ("Inference-Header-Content-Length" = Option<u64>, Header, description = "Length of the JSON, where tensors follow it")),
    responses((status = 200, description = "Outputs", body = inline(Answer<'static>)))
)]
pub(crate) async fn infer(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let name = named.as_ref().map_or(NO_TASK, |Path(named)| &named.model).to_owned();
    let outcome = async { answer(&state, &caller, &named?.0, request, arrived).await };
    let outcome = outcome.await;
    state.ended(&caller, &name, outcome, arrived)
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    named: &Named,
    request: Request,
    arrived: Instant,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let arrival = Arrival::new(state, caller, request.headers(), arrived)?;
    let length = json_length(request.headers())?;
    let version = named.version.as_deref();
    let task = state.protocol.pin(caller, &named.model, version, arrival.deadline).await?;
    state.service.room()?;
    let (body, mut held) = arrival.read_bytes(state, request).await?;
    let Read { request, is_binary } = request::read(&body, length, &mut held)?;
    let binary = binary(&request, is_binary)?;
    let Inferred { response, task, images, maker, spent } =
        state.protocol.infer(task, request, arrival.arrived(arrived)).await?;
    let binary = if binary.is_empty() { vec![is_binary; response.outputs.len()] } else { binary };
    let costs = Extension(Costs::new(images, Some(&task)));
    let headers = state.headers(caller, &maker, &spent);
    Ok((headers, costs, answer::write(&response, &binary)?).into_response())
}

/// For each output that is asked for, whether it is wanted in binary.
fn binary(request: &InferRequest, otherwise: bool) -> Result<Vec<bool>, ApiError> {
    let each = request.outputs.iter().map(|output| {
        let own = output.parameters.flag("binary_data")?;
        Ok(own.unwrap_or(otherwise))
    });
    each.collect()
}

/// The length of the JSON before tensors in binary, if the request says so.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || ApiError::invalid(format!("{JSON_LENGTH} = {value:?}: expected a number of bytes"));
    length.map(Some).ok_or_else(wrong)
}
