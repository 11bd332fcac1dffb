//! Who may call what: one layer before every route.
//!
//! The layer makes a [`Caller`] out of what a request shows, checks the scope that its route wants, and looks once more
//! before the answer leaves: a key that was revoked meanwhile gets none.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::error::ApiError;
use super::headers;
use super::origin::Origin;
use super::state::AppState;
use crate::audit::{Event, Who};
use crate::metrics::NO_TASK;
use crate::service::Error;
use crate::tenants::{Caller, Credentials, Denied, Known, Need, Scope};

/// The header in which a key may come beside `Authorization: Bearer`.
const KEY_HEADER: &str = "x-api-key";

/// Routes and what they want. A route that is not here wants [`Scope::Admin`].
const NEEDS: [(&str, Need); 32] = [
    ("/healthz", Need::Nothing),
    ("/readyz", Need::Nothing),
    ("/metrics", Need::Scope(Scope::Metrics)),
    ("/api-doc/openapi.json", Need::Nothing),
    ("/docs", Need::Nothing),
    ("/docs/", Need::Nothing),
    ("/", Need::Nothing),
    ("/ui/{file}", Need::Nothing),
    ("/v1/tasks/{task}/classify", Need::Scope(Scope::Infer)),
    ("/v1/classify", Need::Scope(Scope::Infer)),
    ("/v1/embed", Need::Scope(Scope::Infer)),
    ("/v1/tasks", Need::Scope(Scope::Read)),
    ("/v1/tasks/{task}", Need::Scope(Scope::Read)),
    ("/v1/tasks/{task}/reload", Need::Scope(Scope::Publish)),
    ("/v1/tasks/{task}/versions/{version}", Need::Scope(Scope::Publish)),
    ("/v1/usage", Need::Scope(Scope::Read)),
    ("/v1/server", Need::Scope(Scope::Read)),
    ("/v1/folder", Need::Scope(Scope::Admin)),
    ("/v1/folder/confirm", Need::Scope(Scope::Admin)),
    ("/v2", Need::Nothing),
    ("/v2/health/live", Need::Nothing),
    ("/v2/health/ready", Need::Nothing),
    ("/v2/models", Need::Scope(Scope::Read)),
    ("/v2/models/stats", Need::Scope(Scope::Read)),
    ("/v2/models/{model}", Need::Scope(Scope::Read)),
    ("/v2/models/{model}/ready", Need::Scope(Scope::Read)),
    ("/v2/models/{model}/config", Need::Scope(Scope::Read)),
    ("/v2/models/{model}/stats", Need::Scope(Scope::Read)),
    ("/v2/models/{model}/infer", Need::Scope(Scope::Infer)),
    ("/v2/repository/index", Need::Scope(Scope::Read)),
    ("/v2/repository/models/{model}/load", Need::Scope(Scope::Publish)),
    ("/v2/repository/models/{model}/unload", Need::Scope(Scope::Publish)),
];

fn need(path: Option<&str>) -> Need {
    let Some(path) = path else { return Need::Known };
    let path = if path.starts_with("/docs/") { "/docs/".into() } else { plain(path) };
    let known = NEEDS.iter().find(|(route, _)| *route == path);
    known.map_or(Need::Scope(Scope::Admin), |(_, need)| *need)
}

/// A route of `/v2` as it stands in the table: versions of a model and a slash at the end change nothing.
fn plain(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/v2") else { return path.to_owned() };
    format!("/v2{}", rest.trim_end_matches('/').replacen("/versions/{version}", "", 1))
}

/// The caller of a request, which the layer has let through.
pub(super) struct Asking(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Without the layer nobody is let in.
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or(Error::Unauthenticated.into())
    }
}

/// Lets a request through to its route, or answers it.
pub(super) async fn gate(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    // A door beside this one says itself what its methods want.
    let need = request.extensions().get::<Need>().copied();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let need = need.unwrap_or_else(|| self::need(path));
    if need == Need::Nothing {
        return next.run(request).await;
    }
    let shown = Shown::of(&state, &request);
    let known = match state.known(&shown) {
        Ok(known) => known,
        Err(denied) => return state.deny(denied, &request).into_response(),
    };
    let caller = known.caller.clone().at(address(&request));
    let admitted = state.check(&caller, need, &request);
    let admitted = admitted.and_then(|()| Ok(state.service.enter(&caller)?));
    if let Err(refused) = admitted {
        state.service.count(Some(&caller), NO_TASK, refused.ending(), None);
        return state.with_quota(&caller, refused.into_response());
    }
    request.extensions_mut().insert(caller.clone());
    let response = state.with_quota(&caller, next.run(request).await);
    match state.service.tenants().again(&known, &shown.credentials(), Timestamp::now()) {
        Ok(()) => response,
        Err(_) => state.deny_late().into_response(),
    }
}

/// What a request shows, kept for a second look.
struct Shown {
    key: Option<String>,
    identity: Option<String>,
    certificate: Option<Arc<[String]>>,
    is_contradictory: bool,
}

impl Shown {
    fn of(state: &AppState, request: &Request) -> Self {
        if state.service.tenants().is_open() {
            return Self { key: None, identity: None, certificate: None, is_contradictory: false };
        }
        let (headers, origin) = (request.headers(), request.extensions().get::<Origin>());
        let (bearer, plain) = (bearer(headers), text(headers, KEY_HEADER));
        let gateway = state.options.identity.as_ref();
        let trusted = gateway.filter(|gateway| origin.is_some_and(|origin| gateway.trusts(origin.address)));
        // A client's own header may stand beside a gateway's: which of two counts is not guessed.
        let names = [header::AUTHORIZATION.as_str(), KEY_HEADER];
        let given = names.into_iter().chain(trusted.map(|gateway| gateway.header.as_str()));
        let is_twice = given.into_iter().any(|name| headers.get_all(name).iter().nth(1).is_some());
        let is_contradictory = is_twice || (bearer.is_some() && plain.is_some() && bearer != plain);
        Self {
            key: bearer.or(plain).map(str::to_owned),
            identity: trusted.and_then(|gateway| text(headers, gateway.header.as_str())).map(str::to_owned),
            certificate: origin.and_then(|origin| origin.certificate.clone()),
            is_contradictory,
        }
    }

    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            key: self.key.as_deref(),
            identity: self.identity.as_deref(),
            certificate: self.certificate.as_deref().unwrap_or_default(),
        }
    }
}

/// Where a request came from, if its connection said so.
fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Origin>().map(|origin| origin.address)
}

/// The key in `Authorization: Bearer KEY`; other schemes are a proxy's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| std::str::from_utf8(key).unwrap_or_default().trim())
}

/// A header's text. One that is not text is as one that shows a wrong key.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

impl AppState {
    fn known(&self, shown: &Shown) -> Result<Known, Denied> {
        if shown.is_contradictory {
            return Err(Denied::Malformed);
        }
        let known = self.service.tenants().authenticate(&shown.credentials(), Timestamp::now())?;
        self.service.recognised(&known.caller);
        Ok(known)
    }

    fn check(&self, caller: &Caller, need: Need, request: &Request) -> Result<(), ApiError> {
        let Need::Scope(scope) = need else { return Ok(()) };
        if !caller.has(scope) {
            self.service
                .audit()
                .record(&caller.who(), &Event::ScopeRefused { scope: scope.as_str(), task: None });
            return Err(Error::Forbidden("the key does not allow this").into());
        }
        let changes = request.method() != Method::GET && matches!(scope, Scope::Publish | Scope::Admin);
        let is_allowed = || address(request).is_some_and(|address| self.options.may_publish(address));
        if changes && self.service.tenants().is_open() && !is_allowed() {
            let why =
                "a server without tenants publishes only for its own host; see --tenants and --publish-from";
            return Err(Error::Forbidden(why).into());
        }
        // A page of another site, open in a browser on this host, sends no key, but comes from this host too.
        if changes && self.service.tenants().is_open() && !self.options.is_own(request.headers()) {
            return Err(Error::Forbidden(
                "a page of another origin may not publish; see --cors-allow-origin",
            )
            .into());
        }
        Ok(())
    }

    /// An answer that tells what is left of its caller's quotas.
    fn with_quota(&self, caller: &Caller, mut response: Response) -> Response {
        if let Some(left) = self.service.left(caller) {
            headers::tell_left(response.headers_mut(), &left);
        }
        response
    }

    fn deny(&self, denied: Denied, request: &Request) -> ApiError {
        let who = Who { address: address(request), ..Who::default() };
        self.service.audit().record(&who, &Event::AuthenticationFailed { reason: denied.as_str() });
        self.service.denied(denied.as_str());
        Error::Unauthenticated.into()
    }

    fn deny_late(&self) -> ApiError {
        self.service.denied("revoked");
        Error::Unauthenticated.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_nobody_listed_is_for_the_operator() {
        for path in ["/v1/new", "/v1/tasks/{task}/delete"] {
            assert_eq!(need(Some(path)), Need::Scope(Scope::Admin));
        }
    }
}
