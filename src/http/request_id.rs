//! A name for each request: what the client calls it, or a random one. It is in the answer and in the log.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

/// The header, in requests and in answers.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken from a client, bytes.
const LONGEST: usize = 128;

/// The layer.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    let id = request.headers().get(&HEADER).and_then(given).map_or_else(random, str::to_owned);
    let span = tracing::info_span!("request", id);
    let value = HeaderValue::try_from(&id);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = value {
        response.headers_mut().insert(HEADER, value);
    }
    response
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
