//! The HTTP door: one resource a file, one table of statuses.
//!
//! [`app`] is the door as a value, testable without a socket. It translates only: a request becomes an
//! [`Ask`](crate::service::Ask), an [`Answered`](crate::service::Answered) becomes JSON and headers, and `status` gives
//! every code its status.
//!
//! | route | file |
//! |---|---|
//! | `POST /v1/tasks/{task}/classify` | `classify` |
//! | `POST /v1/classify` | `classify_many` |
//! | `POST /v1/embed` | `embed` |
//! | `GET /v1/tasks`, `GET /v1/tasks/{task}`, `POST /v1/tasks/{task}/reload` | `tasks` |
//! | `GET /v1/folder`, `POST /v1/folder/confirm` | `folder` |
//! | `GET /v1/usage` | `usage` |
//! | `GET /healthz`, `/readyz`, `/metrics` | `health` |
//! | `GET /api-doc/openapi.json` | `openapi` |
//! | `GET /docs/` | `page` |
//! | `GET /v1/server` | `server` |
//! | `GET /`, `/ui/{file}` | `home` |

mod access;
mod answers;
mod arrival;
mod bill;
mod body;
mod classify;
mod classify_many;
mod embed;
mod encoded;
mod error;
mod folder;
mod headers;
mod health;
mod home;
mod openapi;
mod options;
mod origin;
mod page;
mod query;
mod server;
mod state;
mod status;
mod tasks;
mod top_k;
mod usage;

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

pub use body::examine as examine_body;
pub use options::{HttpOptions, IdentityHeader};
pub use origin::Origin;
pub use state::AppState;
pub use status::status;

use crate::service::Error;
use error::ApiError;

/// The routes.
pub fn app(state: AppState) -> Router {
    let limit = DefaultBodyLimit::max(state.options.payload_limit);
    Router::new()
        .merge(classify::router())
        .merge(classify_many::router())
        .merge(embed::router())
        .merge(tasks::router())
        .merge(folder::router())
        .merge(usage::router())
        // What is asked here is charged; health and metrics are not.
        .route_layer(from_fn_with_state(state.clone(), bill::layer))
        .merge(server::router())
        .merge(home::router())
        .merge(health::router())
        .merge(openapi::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(axum::middleware::from_fn_with_state(state.clone(), access::gate))
        .layer(limit)
        // Our code does not panic; should a dependency do so, only its own request fails.
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

/// Health, metrics and what is for operators, for a listener of their own.
pub fn admin(state: AppState) -> Router {
    Router::new()
        .merge(health::router())
        .merge(folder::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(axum::middleware::from_fn_with_state(state.clone(), access::gate))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::from(Error::Internal("a handler panicked".into())).into_response()
}
