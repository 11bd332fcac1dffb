//! Addresses that end in a slash.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use tower::ServiceExt;

/// Roots below which a slash at the end means nothing.
const ROOTS: [&str; 2] = ["/v1/", "/v2/"];

/// The routes, found with a slash at the end too.
pub(super) fn router(routes: Router) -> Router {
    Router::new().fallback_service(routes.map_request(|mut request: Request| {
        if let Some(uri) = trimmed(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

fn trimmed(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let short = path.strip_suffix('/').filter(|short| !short.ends_with('/'))?;
    if !ROOTS.iter().any(|root| path.starts_with(root)) {
        return None;
    }
    let target = uri.query().map_or_else(|| short.to_owned(), |query| format!("{short}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_at_the_end_goes() {
        for (given, expected) in [
            ("/v1/tasks/", Some("/v1/tasks")),
            ("/v1/tasks/?limit=1", Some("/v1/tasks?limit=1")),
            ("http://a/v2/", Some("http://a/v2")),
            ("/v1/tasks", None),
            ("/v1/tasks//", None),
            ("/docs/", None),
            ("/", None),
        ] {
            let found = trimmed(&given.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{given}");
        }
    }
}
