//! Which pages of other origins may ask, in browsers.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser remembers what it may.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Headers of answers that such a page may read.
const TOLD: [&str; 21] = [
    "inference-header-content-length",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "server-timing",
    "x-mimi-backbone",
    "x-mimi-batch-rows",
    "x-mimi-build",
    "x-mimi-decode-us",
    "x-mimi-flops",
    "x-mimi-pack",
    "x-mimi-precision",
    "x-mimi-queue-us",
    "x-mimi-quota",
    "x-mimi-run-us",
    "x-mimi-version",
    "x-request-id",
    "traceparent",
    "tracestate",
    "www-authenticate",
];

/// Where pages come from that may ask: an origin as browsers send it, or every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(HeaderValue);

impl WebOrigin {
    /// Whether it is this very origin; `*` is none.
    pub(super) fn is(&self, origin: &str) -> bool {
        self.0 == origin
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected * or an origin such as https://shop.example:8443, without a path".to_owned();
        let value = HeaderValue::from_str(text).map_err(|_| expected())?;
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let origin = |scheme: &str| Some(format!("{scheme}://{}", uri.authority()?));
        let is_web = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).and_then(origin);
        let is_plain = !text.contains('@') && text == text.to_ascii_lowercase();
        let is_origin = is_plain && is_web.as_deref() == Some(text);
        if text == "*" || is_origin { Ok(Self(value)) } else { Err(expected()) }
    }
}

/// The layer; none where no other page may ask. Keys are not cookies: nothing is allowed that a browser adds by itself.
pub(super) fn layer(origins: &[WebOrigin]) -> Option<CorsLayer> {
    let is_any = origins.iter().any(|origin| origin.0 == "*");
    let named = origins.iter().map(|origin| origin.0.clone());
    let allowed = if is_any { AllowOrigin::any() } else { AllowOrigin::list(named) };
    (!origins.is_empty()).then(|| answering(allowed))
}

fn answering(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(TOLD.map(HeaderName::from_static))
        .vary([header::ORIGIN])
        .max_age(REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for text in ["*", "https://shop.example", "http://localhost:3000", "https://[::1]:8443"] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().0, text);
        }
        for text in [
            "shop.example",
            "https://shop.example/",
            "https://a/b",
            "https://A.example",
            "https://u@a",
            "null",
            "",
        ] {
            assert!(text.parse::<WebOrigin>().is_err(), "{text}");
        }
    }
}
