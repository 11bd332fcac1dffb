//! `POST /v1/classify`: one image under many tasks.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Asking;
use super::answers::Classified;
use super::arrival::{Arrival, Received};
use super::bill::Costs;
use super::error::{ApiError, ErrorBody};
use super::query;
use super::state::AppState;
use super::wanted::Wanted;
use crate::engine::SharedBlocks;
use crate::metrics::NO_TASK;
use crate::service::{AskMany, Refusal, TaskAnswer, Terms};
use crate::tenants::Caller;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/classify", post(classify_many))
}

/// Answer for one image under several tasks, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClassifiedMany {
    /// One for each task.
    pub(super) results: Vec<TaskResult>,
    /// How the row of each task that answered ran, where the request asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runs: Option<Vec<Run>>,
}

/// What else is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WantedRuns {
    /// Whether the answer has `runs`: how each row ran (default false).
    runs: Option<bool>,
}

/// How a task's row ran: which of the backbone's blocks it shared, and what that saved.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Run {
    /// The task.
    task: String,
    /// The digest of the pack that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<String>,
    /// Floating-point operations spent on it.
    flops: u64,
    /// What it would have cost alone.
    whole_flops: u64,
    /// First blocks that ran once for the image; 0 where the row ran whole.
    shared_blocks: usize,
    /// Rows that took what these blocks gave, this one included; 0 where the row ran whole.
    shared_rows: usize,
    /// Whether these blocks did not run at all: an earlier request left what they gave.
    kept: bool,
}

impl Run {
    fn of(TaskAnswer { name, outcome, run }: &TaskAnswer) -> Option<Self> {
        let (answered, run) = (outcome.as_ref().ok()?, (*run)?);
        let SharedBlocks { blocks, rows, is_kept } = run.shared;
        Some(Self {
            task: name.clone(),
            pack: answered.maker.pack().map(str::to_owned),
            flops: answered.spent.flops,
            whole_flops: run.whole_flops,
            shared_blocks: blocks,
            shared_rows: rows,
            kept: is_kept,
        })
    }
}

/// What one task says, or why it says nothing; the other tasks answer all the same.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum TaskResult {
    /// The task answered.
    Classified(Classified),
    /// The task did not answer.
    Failed {
        /// The task.
        task: String,
        /// Why.
        #[serde(flatten)]
        error: ErrorBody,
    },
}

impl From<TaskAnswer> for TaskResult {
    fn from(TaskAnswer { name, outcome, .. }: TaskAnswer) -> Self {
        match outcome {
            Ok(answered) => Self::Classified(answered.into()),
            Err(error) => Self::Failed { task: name, error: ErrorBody::from(&Refusal::from(&error)) },
        }
    }
}

/// Classifies one image under several tasks.
///
/// The body is JSON `{"tasks": [...], "image": base64}` or `multipart/form-data` with fields `image` and
/// `tasks` (comma-separated, or one field each).
#[utoipa::path(
    post,
    path = "/v1/classify",
    params(Wanted, WantedRuns),
    responses((status = 200, description = "One result for each task", body = ClassifiedMany))
)]
pub(super) async fn classify_many(
    State(state): State<AppState>,
    Asking(caller): Asking,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let outcome = answer(&state, &caller, request, arrived).await;
    state.service.took(arrived.elapsed());
    if let Err(error) = &outcome {
        // The request failed as a whole, before any task was counted.
        state.service.count(Some(&caller), NO_TASK, error.ending(), None);
    }
    outcome.into_response()
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    request: Request,
    arrived: Instant,
) -> Result<(HeaderMap, Extension<Costs>, Json<ClassifiedMany>), ApiError> {
    let known = [Wanted::KNOWN, &["runs"]].concat();
    let query: Wanted = query::read(request.uri(), &known)?;
    let WantedRuns { runs } = query::read(request.uri(), &known)?;
    let arrival = Arrival::new(state, caller, request.headers(), arrived)?;
    state.service.room()?;
    let Received { mut body, held: _held } = arrival.read(state, request).await?;
    let terms = arrival.terms(query.top_k_or(body.top_k)?);
    let terms = Terms { wants_logits: query.logits()?, ..terms };
    if body.images.len() != 1 {
        return Err(ApiError::invalid(format!("{} image(s): expected one", body.images.len())));
    }
    let image = body.images.pop().unwrap_or_default();
    let answered = state.service.classify_many(AskMany { tasks: body.tasks, image, arrived, terms }).await?;
    let one = answered.tasks.first().filter(|_| answered.tasks.len() == 1);
    let task = one.and_then(|task| task.outcome.as_ref().ok()).map(|told| &told.task);
    let costs = Costs::new(1, task);
    let runs = runs.unwrap_or(false).then(|| answered.tasks.iter().filter_map(Run::of).collect());
    let results = answered.tasks.into_iter().map(TaskResult::from).collect();
    let headers = state.headers(caller, &answered.maker, &answered.spent);
    Ok((headers, Extension(costs), Json(ClassifiedMany { results, runs })))
}
