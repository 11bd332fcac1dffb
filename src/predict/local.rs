//! An engine of this process, behind the HTTP door and without a socket.

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::http::{Request, header};
use futures::future::{BoxFuture, FutureExt};
use tower::Service;

use super::asker::{Asker, Failure};
use super::question::{Body, Reply};

/// Largest answer, bytes: a thousand tasks of a thousand logits take 20 MB.
pub(super) const ANSWER_BYTES: usize = 256 << 20;

/// Asks a door of this process.
pub struct Local(Router);

impl Local {
    /// Over a server's door.
    pub fn new(app: Router) -> Self {
        Self(app)
    }
}

impl Asker for Local {
    fn post(
        &self,
        target: &str,
        Body { content_type, bytes }: Body,
    ) -> BoxFuture<'_, Result<Reply, Failure>> {
        let request = Request::post(target).header(header::CONTENT_TYPE, content_type);
        let request = request.body(HttpBody::from(bytes));
        let mut app = self.0.clone();
        async move {
            let lasting = |error: &dyn std::fmt::Display| Failure::Lasting(error.to_string());
            let request = request.map_err(|error| lasting(&error))?;
            let Ok(answer) = app.call(request).await;
            let status = answer.status().as_u16();
            let body = to_bytes(answer.into_body(), ANSWER_BYTES).await.map_err(|error| lasting(&error))?;
            Ok(Reply { status, retry_after: None, body })
        }
        .boxed()
    }
}
