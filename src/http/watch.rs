//! The outermost layer, around every door: a request's name, its place in a trace, and its line in the access log.
//!
//! The name is what the client calls its request, or a random one. It is in the answer and in the log.

use std::net::IpAddr;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use jiff::Timestamp;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::origin::Origin;
use crate::access::{AccessLog, Entry};
use crate::traces::{Begun, Sampler};

/// The header with a request's name, in requests and in answers.
const ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with a request's place in a trace, in requests and in answers.
const PLACE: HeaderName = HeaderName::from_static("traceparent");
/// Longest name that is taken from a client, bytes.
const LONGEST: usize = 128;
/// Routes that are asked all the time and tell nothing in a trace.
const QUIET: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"];

/// What is watched.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Which requests are traced; none where nothing is.
    pub sampler: Option<Sampler>,
    /// Where requests are written, if they are.
    pub log: Option<AccessLog>,
}

/// Puts the layer around the doors.
pub fn watched(doors: Router, watch: Watch) -> Router {
    doors.layer(from_fn_with_state(watch, layer))
}

async fn layer(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let id = request.headers().get(&ID).and_then(given).map_or_else(random, str::to_owned);
    let begun = watch.begin(&request);
    let span = span(&id, begun, &request);
    let noted = watch.log.filter(AccessLog::is_wanted).map(|log| (log, Noted::of(&request)));
    let mut response = next.run(request).instrument(span.clone()).await;
    if begun.is_some() {
        tell_end(&span, &response);
    }
    if let Some((log, noted)) = noted {
        log.record(noted.ended((&id, begun), &response));
    }
    let headers = response.headers_mut();
    tell(headers, ID, &id);
    if let Some(begun) = begun {
        tell(headers, PLACE, &begun.context.to_string());
    }
    response
}

impl Watch {
    /// The request's place in a trace, where traces are on.
    fn begin(&self, request: &Request) -> Option<Begun> {
        let sampler = self.sampler.as_ref().filter(|_| !QUIET.contains(&request.uri().path()))?;
        let given = request.headers().get(PLACE).and_then(|value| value.to_str().ok());
        Some(Begun::new(sampler, given))
    }
}

/// The request's span, for the log and, where it is kept, for its trace.
fn span(id: &str, begun: Option<Begun>, request: &Request) -> Span {
    let Some(Begun { context, parent }) = begun.filter(|begun| begun.context.is_sampled) else {
        return tracing::info_span!("request", id);
    };
    tracing::info_span!(
        "request",
        id,
        traceparent = context.to_string(),
        parent_span = parent,
        http.request.method = request.method().as_str(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        rpc.grpc.status_code = Empty,
    )
}

/// What a line says of a request before it is answered.
struct Noted {
    began: Instant,
    method: String,
    path: String,
    address: Option<IpAddr>,
}

impl Noted {
    fn of(request: &Request) -> Self {
        Self {
            began: Instant::now(),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            address: request.extensions().get::<Origin>().map(|origin| origin.address),
        }
    }

    fn ended(self, (id, begun): (&str, Option<Begun>), response: &Response) -> Entry {
        let Self { began, method, path, address } = self;
        Entry {
            at: Timestamp::now(),
            id: id.to_owned(),
            trace: begun.map(|begun| begun.context.trace),
            method,
            path,
            status: response.status().as_u16(),
            grpc: grpc_status(response),
            took: began.elapsed(),
            address,
        }
    }
}

/// The status of gRPC, where it is told before a body.
fn grpc_status(response: &Response) -> Option<u16> {
    response.headers().get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn tell_end(span: &Span, response: &Response) {
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(status) = grpc_status(response) {
        span.record("rpc.grpc.status_code", status);
    }
}

fn tell(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// A client's name for its request, if it is short and of signs that are seen.
fn given(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let is_fit = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit.then_some(text)
}

fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_names_of_visible_signs_are_taken() {
        let long = "x".repeat(LONGEST);
        for (text, is_taken) in [("a-1", true), (&*long, true), ("", false), ("a b", false), ("a\tb", false)]
        {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(given(&value), is_taken.then_some(text));
        }
        assert_eq!(given(&HeaderValue::from_bytes(b"\xff").unwrap()), None);
        assert_eq!(given(&HeaderValue::from_str(&(long + "x")).unwrap()), None);
        assert!(random().len() == 32 && random() != random());
    }
}
