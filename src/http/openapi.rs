//! The description of the service.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};

use super::error::ErrorBody;
use super::state::AppState;
use super::status::status;
use super::{
    access, answers, classify, classify_many, described, embed, folder, health, page, server, taken, tasks,
    usage, v2, versions,
};
use crate::service::Code;
use crate::tenants::Need;

#[derive(OpenApi)]
#[openapi(
    info(title = "mimi-server", description = "One resident backbone, many tasks: image classification"),
    paths(
        classify::classify,
        classify_many::classify_many,
        embed::embed,
        tasks::list,
        tasks::show,
        tasks::reload,
        versions::publish,
        folder::show,
        folder::confirm,
        usage::show,
        server::show,
        health::live,
        health::ready,
        health::metrics,
        v2::server::metadata,
        v2::server::live,
        v2::server::ready,
        v2::models::list,
        v2::models::show,
        v2::models::ready,
        v2::models::config,
        v2::statistics::all,
        v2::statistics::one,
        v2::infer::infer,
        v2::repository::index,
        v2::repository::load,
        v2::repository::unload
    ),
    components(schemas(ErrorBody, v2::ErrorBody, answers::ClassifiedBatch, embed::EmbeddedBatch))
)]
struct Document;

/// Where the description is.
const PATH: &str = "/api-doc/openapi.json";

pub(super) fn router() -> Router<AppState> {
    // Written once: anybody may ask for it.
    let text = serde_json::to_value(document()).map(|mut document| {
        taken::add(&mut document);
        document.to_string()
    });
    let text = Bytes::from(text.unwrap_or_else(|error| {
        tracing::error!(%error, "the description cannot be written");
        String::new()
    }));
    let answer = get(|| async move { ([(CONTENT_TYPE, "application/json")], text) });
    Router::new().route(PATH, answer).merge(page::router(PATH))
}

/// The description, with the failures of each route taken from the one table of errors.
fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.get, &mut item.post, &mut item.put].into_iter().flatten() {
            let body = if path.starts_with("/v2") { "InferenceError" } else { "ErrorBody" };
            let failures = failures(path);
            add_failures(operation, &[failures, refusals(path)].concat(), body);
            described::add(operation, failures.contains(&Code::InferenceFailed));
        }
    }
    document
}

/// What the gate may answer before a route: of a caller without a key, of one whose key does not allow it, of one whose
/// quota is used up.
fn refusals(path: &str) -> &'static [Code] {
    match access::need(Some(path)) {
        Need::Nothing => &[],
        _ => &[Code::Unauthenticated, Code::Forbidden, Code::QuotaExceeded],
    }
}

/// What a route can fail with.
fn failures(path: &str) -> &'static [Code] {
    const INFER: &[Code] = &[
        Code::InvalidRequest,
        Code::TaskNotFound,
        Code::BodyTimeout,
        Code::ImageTooLarge,
        Code::RequestTooLarge,
        Code::UnsupportedMediaType,
        Code::InvalidImage,
        Code::Overloaded,
        Code::MemoryFull,
        Code::DeadlineExceeded,
        Code::NotReady,
        Code::TaskBroken,
        Code::ShuttingDown,
        Code::InferenceFailed,
        Code::Internal,
    ];
    const PUBLISH: &[Code] = &[
        Code::InvalidRequest,
        Code::TaskNotFound,
        Code::BodyTimeout,
        Code::ImageTooLarge,
        Code::PackInvalid,
        Code::Overloaded,
        Code::MemoryFull,
        Code::DeadlineExceeded,
        Code::NotReady,
        Code::ShuttingDown,
        Code::Internal,
    ];
    match path {
        "/v1/classify" | "/v1/embed" | "/v1/tasks/{task}/classify" | "/v2/models/{model}/infer" => INFER,
        "/v1/tasks/{task}/reload" => &[
            Code::InvalidRequest,
            Code::TaskNotFound,
            Code::PackInvalid,
            Code::Overloaded,
            Code::NotReady,
            Code::ShuttingDown,
            Code::Internal,
        ],
        "/v1/tasks/{task}/versions/{version}"
        | "/v2/repository/models/{model}/load"
        | "/v2/repository/models/{model}/unload" => PUBLISH,
        "/v2/repository/index" => &[
            Code::InvalidRequest,
            Code::BodyTimeout,
            Code::ImageTooLarge,
            Code::MemoryFull,
            Code::DeadlineExceeded,
        ],
        "/v2/health/live" | "/v2/health/ready" => &[Code::NotReady],
        "/v2/models/{model}"
        | "/v2/models/{model}/ready"
        | "/v2/models/{model}/config"
        | "/v2/models/{model}/stats" => &[Code::TaskNotFound, Code::NotReady, Code::Internal],
        "/v1/tasks/{task}" => &[Code::InvalidRequest, Code::TaskNotFound, Code::Internal],
        "/v1/tasks" | "/v1/usage" | "/v1/server" => &[Code::InvalidRequest],
        "/v1/folder/confirm" => &[Code::Overloaded, Code::NotReady],
        "/healthz" | "/readyz" => &[Code::NotReady],
        _ => &[],
    }
}

fn add_failures(operation: &mut Operation, codes: &[Code], body: &str) {
    let mut by_status: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in codes {
        by_status.entry(status(*code).as_str().to_owned()).or_default().push(code.as_str());
    }
    for (status, words) in by_status {
        let schema = RefOr::Ref(Ref::from_schema_name(body));
        let response = ResponseBuilder::new()
            .description(format!("code: {}", words.join(", ")))
            .content("application/json", Content::new(Some(schema)))
            .build();
        operation.responses.responses.insert(status, RefOr::T(response));
    }
}
