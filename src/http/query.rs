//! What stands after the question mark.

use axum::extract::Query;
use axum::http::Uri;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// Reads parameters, of which only the `known` may be named: a misspelt one must not be ignored.
pub(super) fn read<T: DeserializeOwned>(uri: &Uri, known: &[&str]) -> Result<T, ApiError> {
    let Query(named) = Query::<Vec<(String, String)>>::try_from_uri(uri)?;
    if let Some((name, _)) = named.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        let known = if known.is_empty() { "none here".to_owned() } else { known.join(", ") };
        return Err(ApiError::invalid(format!("unknown parameter {name:?}: known are {known}")));
    }
    let Query(read) = Query::<T>::try_from_uri(uri)?;
    Ok(read)
}

/// Refuses every parameter.
pub(super) fn none(uri: &Uri) -> Result<(), ApiError> {
    read::<Vec<(String, String)>>(uri, &[]).map(|_| ())
}
