//! Addresses of models and their versions.

use axum::Router;
use axum::routing::MethodRouter;
use serde::Deserialize;

use crate::http::state::AppState;

/// A model in an address.
#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(super) model: String,
    #[serde(default)]
    pub(super) version: Option<String>,
}

/// A route, with and without a slash at its end.
pub(super) fn both(path: &str, methods: &MethodRouter<AppState>) -> Router<AppState> {
    Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods.clone())
}

/// A route of a model and of its versions.
pub(super) fn of_model(rest: &str, methods: &MethodRouter<AppState>) -> Router<AppState> {
    both(&format!("/v2/models/{{model}}{rest}"), methods)
        .merge(both(&format!("/v2/models/{{model}}/versions/{{version}}{rest}"), methods))
}
