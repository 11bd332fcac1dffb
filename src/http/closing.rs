//! The end of connections that stay open: a server that is about to end says so with its answers.
//!
//! A client that keeps its connection would else learn of the end by a reset, when its next request is on its way
//! (RFC 9112, section 9.6). HTTP/2 has frames for it, which are sent when the listener closes.

use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::state::AppState;

/// Has HTTP/1.1 clients open another connection, elsewhere, while the server is not ready.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_kept = request.version() == Version::HTTP_11;
    let mut answer = next.run(request).await;
    if is_kept && !state.service.is_ready() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
