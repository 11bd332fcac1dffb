//! The outermost layer, around every door: a request's name, its place in a trace, and its line in the access log.
//!
//! The name is what the client calls its request, or a random one. It is in the answer and in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use jiff::Timestamp;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::origin::Origin;
use crate::access::{AccessLog, Entry, Learnt, Notes};
use crate::traces::{Begun, Sampler};

/// The header with a request's name, in requests and in answers.
const ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with a request's place in a trace, in requests and in answers.
const PLACE: HeaderName = HeaderName::from_static("traceparent");
/// The header with what other tracers say of that trace, in requests and in answers.
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// What stands for a value of a header that is not text: neither a place nor a state.
const UNREADABLE: &str = "?";
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

async fn layer(State(watch): State<Watch>, mut request: Request, next: Next) -> Response {
    let id = request.headers().get(&ID).and_then(given).map_or_else(random, str::to_owned);
    let begun = watch.begin(&request);
    let span = span(&id, begun.as_ref(), &request);
    let log = watch.log.filter(AccessLog::is_wanted);
    let noted = log.map(|log| Noted::of(log, (&id, begun.as_ref()), &mut request));
    let mut response = next.run(request).instrument(span.clone()).await;
    if begun.is_some() {
        tell_end(&span, &response);
    }
    if let Some(mut noted) = noted {
        noted.end(&response);
    }
    let headers = response.headers_mut();
    tell(headers, ID, &id);
    if let Some(begun) = begun {
        tell(headers, PLACE, &begun.context.to_string());
        begun.state.iter().for_each(|state| tell(headers, STATE, state));
    }
    response
}

impl Watch {
    /// The request's place in a trace, where traces are on.
    fn begin(&self, request: &Request) -> Option<Begun> {
        let sampler = self.sampler.as_ref().filter(|_| !QUIET.contains(&request.uri().path()))?;
        let text = |value: &'_ HeaderValue| value.to_str().unwrap_or(UNREADABLE).to_owned();
        let place = request.headers().get(PLACE).map(text);
        let states: Vec<String> = request.headers().get_all(STATE).iter().map(text).collect();
        Some(Begun::new(sampler, place.as_deref(), states.iter().map(String::as_str)))
    }
}

/// The request's span, for the log and, where it is kept, for its trace.
fn span(id: &str, begun: Option<&Begun>, request: &Request) -> Span {
    let Some(Begun { context, parent, state }) = begun.filter(|begun| begun.context.is_sampled) else {
        return tracing::info_span!("request", id);
    };
    tracing::info_span!(
        "request",
        id,
        traceparent = context.to_string(),
        tracestate = state.as_deref(),
        parent_span = parent,
        http.request.method = request.method().as_str(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        rpc.grpc.status_code = Empty,
    )
}

/// The line of a request. It is written when this is dropped, with or without an answer: a client may go away.
struct Noted {
    log: AccessLog,
    began: Instant,
    entry: Entry,
    notes: Arc<Notes>,
}

impl Noted {
    fn of(log: AccessLog, (id, begun): (&str, Option<&Begun>), request: &mut Request) -> Self {
        let notes = Arc::new(Notes::default());
        request.extensions_mut().insert(Arc::clone(&notes));
        let entry = Entry {
            at: Timestamp::now(),
            id: id.to_owned(),
            trace: begun.map(|begun| begun.context.trace),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            status: None,
            grpc: None,
            took: Duration::ZERO,
            address: request.extensions().get::<Origin>().map(|origin| origin.address),
            learnt: Learnt::default(),
        };
        Self { log, began: Instant::now(), entry, notes }
    }

    fn end(&mut self, response: &Response) {
        self.entry.status = Some(response.status().as_u16());
        self.entry.grpc = grpc_status(response);
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let Self { log, began, entry, notes } = self;
        (entry.at, entry.took, entry.learnt) = (Timestamp::now(), began.elapsed(), notes.learnt());
        log.record(entry.clone());
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

    /// A request whose client goes away has its line too.
    #[tokio::test]
    async fn an_abandoned_request_is_written() {
        use crate::access::{AccessOptions, FAMILY};
        use crate::journal::{Found, files, lines};
        use tower::ServiceExt;
        let folder = tempfile::tempdir().unwrap();
        let options = AccessOptions { folder: Some(folder.path().to_owned()), ..AccessOptions::default() };
        let log = AccessLog::start(&options, &crate::metrics::Metrics::new().unwrap()).unwrap().unwrap();
        let never = axum::routing::get(std::future::pending::<()>);
        let doors = Router::new().route("/never", never).route("/soon", axum::routing::get(|| async {}));
        let doors = watched(doors, Watch { sampler: None, log: Some(log.clone()) });
        let asked = |path| Request::get(path).body(axum::body::Body::empty()).unwrap();
        doors.clone().oneshot(asked("/soon")).await.unwrap();
        let answer = doors.oneshot(asked("/never"));
        assert!(tokio::time::timeout(Duration::from_millis(20), answer).await.is_err());
        log.stop();
        let mut found = Vec::new();
        for (path, _) in files(folder.path(), FAMILY).unwrap() {
            lines(&path, 0, |line| match line {
                Found::Whole(line) => found.push(serde_json::from_slice::<serde_json::Value>(line).unwrap()),
                other => panic!("{other:?}"),
            })
            .unwrap();
        }
        let told = |at: usize| (&found[at]["path"], &found[at]["status"], &found[at]["abandoned"]);
        let null = serde_json::Value::Null;
        assert_eq!(told(0), (&"/soon".into(), &200.into(), &null));
        assert_eq!(told(1), (&"/never".into(), &null, &true.into()));
    }

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
