//! `/v2`: the Open Inference Protocol by REST, in JSON and in binary. What it means is in [`oip`](crate::oip).
//!
//! | route | file |
//! |---|---|
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready` | `server` |
//! | `GET /v2/models`, `/v2/models/{model}`, and its `/ready`, `/config` | `models` |
//! | `GET /v2/models/stats`, `/v2/models/{model}/stats` | `statistics` |
//! | `POST /v2/models/{model}/infer` | `infer` |
//! | `POST /v2/repository/index`, `/v2/repository/models/{model}/load`, `/unload` | `repository` |
//!
//! What names a model may name its version: `/v2/models/{model}/versions/{version}/...`. A slash at the end is ignored.
//!
//! | file | holds |
//! |---|---|
//! | `request`, `elements` | bodies of inferences |
//! | `answer` | their answers |
//! | `route` | addresses of models and their versions |
//! | `errors` | failures in this protocol's form |

pub(super) mod answer;
mod elements;
mod errors;
pub(super) mod infer;
pub(super) mod models;
pub(super) mod repository;
mod request;
mod route;
pub(super) mod server;
pub(super) mod statistics;

use axum::Router;

pub(super) use errors::{ErrorBody, plain};

use super::state::AppState;

/// What is charged.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .merge(models::router())
        .merge(statistics::router())
        .merge(infer::router())
        .merge(repository::router())
}

/// What anybody may ask.
pub(super) fn public() -> Router<AppState> {
    server::router()
}
