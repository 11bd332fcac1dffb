//! Our own headers, in requests and in answers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::error::ApiError;
use crate::service::{self, AFFINITY, Maker, PREFIX_CACHE, Spent};
use crate::tenants::Left;

/// Sets the request's own deadline, milliseconds from its arrival.
const TIMEOUT: &str = "x-mimi-timeout-ms";
/// Longest deadline a request may set, milliseconds.
const MAX_TIMEOUT_MS: u64 = 600_000;
/// The headers that a request may set.
const KNOWN: [&str; 3] = [TIMEOUT, PREFIX_CACHE, AFFINITY];

/// The deadline that a request sets for itself, if any, from its arrival.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let milliseconds = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match milliseconds.filter(|ms| *ms <= MAX_TIMEOUT_MS) {
        Some(ms) => Ok(Some(Duration::from_millis(ms))),
        None => Err(ApiError::invalid(format!(
            "{TIMEOUT} = {value:?}: expected milliseconds, at most {MAX_TIMEOUT_MS}"
        ))),
    }
}

/// Whether a request lets its images be kept and looked up.
pub(super) fn may_keep(headers: &HeaderMap) -> Result<bool, ApiError> {
    Ok(service::may_keep(headers.get(PREFIX_CACHE).map(|value| value.as_bytes()))?)
}

/// Refuses headers that only look like ours: a misspelt one must not be ignored.
pub(super) fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut ours = headers.keys().filter(|name| name.as_str().starts_with("x-mimi-"));
    match ours.find(|name| !KNOWN.contains(&name.as_str())) {
        Some(name) => {
            Err(ApiError::invalid(format!("unknown header {name}: known are {}", KNOWN.join(", "))))
        }
        None => Ok(()),
    }
}

/// Tells what is left of the quota that is nearest to its end, and when all of it is back (draft-ietf-httpapi-
/// ratelimit-headers-06).
pub(super) fn tell_left(headers: &mut HeaderMap, left: &Left) {
    let numbers = [
        ("ratelimit-limit", left.most),
        ("ratelimit-remaining", left.left),
        ("ratelimit-reset", left.full.as_secs_f64().ceil()),
    ];
    for (name, number) in numbers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(number as u64));
    }
    let measure = HeaderValue::from_static(left.measure.as_str());
    headers.insert(HeaderName::from_static("x-mimi-quota"), measure);
}

/// Headers with what made an answer.
pub(super) fn of_maker(maker: &Maker) -> HeaderMap {
    // A backbone's name may have signs that no header has: it is left out then, and stands in `/v1/server`.
    let told = maker.facts().filter_map(|(fact, value)| {
        Some((HeaderName::from_static(fact.key()), HeaderValue::try_from(value).ok()?))
    });
    told.collect()
}

/// Headers with the cost of a request and, for who may know it, its times.
pub(super) fn of_spent(spent: &Spent, knows_load: bool) -> HeaderMap {
    let numbers = spent.told(knows_load);
    let named = numbers.map(|(name, n)| (HeaderName::from_static(name), HeaderValue::from(n)));
    let mut headers = HeaderMap::from_iter(named);
    if !knows_load {
        return headers;
    }
    let [decode, queue, run] = [spent.decode, spent.queue, spent.run].map(|d| d.as_secs_f64() * 1e3);
    let timing = format!("decode;dur={decode:.3}, queue;dur={queue:.3}, run;dur={run:.3}");
    if let Ok(value) = HeaderValue::try_from(timing) {
        headers.insert("server-timing", value);
    }
    headers
}
