//! The HTTP surface: one resource a file, one table of errors.
//!
//! [`app`] is the whole service as a value, testable without a socket. The way of a request: `classify` names
//! the task, `pipeline` resolves it, admits it, decodes (on the blocking pool), queues a row for each image
//! and task, and turns logits into predictions; `error` turns every failure into status and body.
//!
//! | route | file |
//! |---|---|
//! | `POST /v1/tasks/{task}/classify` | `classify` |
//! | `POST /v1/classify` | `classify_many` |
//! | `GET /v1/tasks`, `GET /v1/tasks/{task}`, `POST /v1/tasks/{task}/reload` | `tasks` |
//! | `GET /v1/folder`, `POST /v1/folder/confirm` | `folder` |
//! | `GET /healthz`, `/readyz`, `/metrics` | `health` |
//! | `GET /api-doc/openapi.json`, `/docs` | `openapi` |

mod body;
mod classify;
mod classify_many;
mod encoded;
mod error;
mod folder;
mod health;
mod memory;
mod openapi;
mod pipeline;
mod predictions;
mod query;
mod state;
mod tasks;
mod told;

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

pub use body::examine as examine_body;
pub use error::Code;
pub use state::{AppState, HttpOptions, Services};

use error::ApiError;

/// The service.
pub fn app(state: AppState) -> Router {
    let limit = DefaultBodyLimit::max(state.options.payload_limit);
    Router::new()
        .merge(classify::router())
        .merge(classify_many::router())
        .merge(tasks::router())
        .merge(folder::router())
        .merge(health::router())
        .merge(openapi::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(limit)
        // Our code does not panic; should a dependency do so, only its own request fails.
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

/// Health and metrics alone, for a listener of their own.
pub fn admin(state: AppState) -> Router {
    Router::new()
        .merge(health::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Internal("a handler panicked".into()).into_response()
}
