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
//! | `PUT /v1/tasks/{task}/versions/{version}` | `versions` |
//! | `GET /v1/folder`, `POST /v1/folder/confirm` | `folder` |
//! | `GET /v1/usage` | `usage` |
//! | `/v2`, the Open Inference Protocol | `v2` |
//! | `GET /healthz`, `/readyz`, `/metrics` | `health` |
//! | `GET /api-doc/openapi.json` | `openapi` |
//! | `GET /docs/` | `page` |
//! | `GET /v1/server` | `server` |
//! | `GET /`, `/ui/{file}` | `home` |
//!
//! `closing` ends kept connections before the server ends.

mod access;
mod answers;
mod arrival;
mod bill;
mod body;
mod classify;
mod classify_many;
mod closing;
mod cors;
mod described;
mod embed;
mod encoded;
mod encoding;
mod error;
mod folder;
mod headers;
mod health;
mod home;
mod open_metrics;
mod openapi;
mod options;
mod origin;
mod page;
mod query;
mod server;
mod slashes;
mod state;
mod status;
mod taken;
mod tasks;
mod usage;
mod v2;
mod versions;
mod wanted;
mod watch;

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;

pub use body::examine as examine_body;
pub use cors::WebOrigin;
pub use options::{HttpOptions, IdentityHeader};
pub use origin::Origin;
pub use state::AppState;
pub use status::status;
pub use watch::{Watch, watched};

use crate::service::Error;
use error::ApiError;

/// The routes.
pub fn app(state: AppState) -> Router {
    slashes::router(routes(state))
}

fn routes(state: AppState) -> Router {
    let cors = cors::layer(&state.options.origins);
    let limit = DefaultBodyLimit::max(state.options.payload_limit);
    Router::new()
        .merge(classify::router())
        .merge(classify_many::router())
        .merge(embed::router())
        .merge(tasks::router())
        .merge(versions::router())
        .merge(folder::router())
        .merge(usage::router())
        .merge(v2::router())
        .route_layer(from_fn_with_state(state.clone(), encoding::decompress))
        // What is asked here is charged; health and metrics are not.
        .route_layer(from_fn_with_state(state.clone(), bill::layer))
        .merge(server::router())
        .merge(home::router())
        .merge(health::router())
        .merge(v2::public())
        .merge(openapi::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(from_fn_with_state(state.clone(), access::gate))
        .layer(limit)
        // Our code does not panic; should a dependency do so, only its own request fails.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(v2::plain))
        .layer(encoding::compress())
        // Before the gate: a browser asks what it may without a key.
        .layer(option_layer(cors))
        .layer(from_fn_with_state(state.clone(), closing::layer))
        .with_state(state)
}

/// Routes of a door beside this one, which come past the same gate and are charged alike. That door says with each request
/// what it [needs](crate::tenants::Need), and tells a [`Refusal`](crate::service::Refusal) of the gate in its own words.
pub fn guard(state: &AppState, routes: Router) -> Router {
    routes
        .route_layer(from_fn_with_state(state.clone(), bill::layer))
        .layer(from_fn_with_state(state.clone(), access::gate))
        .layer(CatchPanicLayer::custom(panicked))
}

/// Health, metrics and what is for operators, for a listener of their own.
pub fn admin(state: AppState) -> Router {
    Router::new()
        .merge(health::router())
        .merge(folder::router())
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(from_fn_with_state(state.clone(), access::gate))
        .layer(encoding::compress())
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::from(Error::Internal("a handler panicked".into())).into_response()
}
