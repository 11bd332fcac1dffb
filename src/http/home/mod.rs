//! `GET /`: a page for people, out of the binary. Its files say nothing of any tenant; what it shows it asks of the API
//! with the caller's key.

mod files;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::error::ApiError;
use files::{File, INDEX};

/// What a browser may do for the page: run and fetch what this server gives, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/ui/{file}", get(part))
}

async fn index(headers: HeaderMap) -> Response {
    answer(&INDEX, &headers)
}

async fn part(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Path(name) = name?;
    let file = files::find(&name).ok_or(ApiError::NoRoute)?;
    Ok(answer(file, &headers))
}

/// A file, or that what the browser keeps of it still holds.
fn answer(file: &'static File, asked: &HeaderMap) -> Response {
    let tag = file.tag();
    let kept = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_kept = kept.flat_map(|value| value.split(',')).any(|kept| {
        let kept = kept.trim();
        kept == "*" || kept.strip_prefix("W/").unwrap_or(kept) == tag
    });
    let headers = [
        (CONTENT_TYPE, file.content_type),
        (ETAG, tag.as_str()),
        // Asked for again each time, and answered by 304: a new binary is seen at once.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    match is_kept {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, Bytes::from_static(file.bytes)).into_response(),
    }
}
