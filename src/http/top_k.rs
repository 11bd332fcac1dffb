//! How many predictions a request wants.

use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;

/// Predictions in an answer whose request names no number.
const DEFAULT: usize = 5;

/// How many predictions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopK {
    /// Number of predictions, likeliest first (default 5).
    top_k: Option<String>,
}

impl TopK {
    /// The parameters.
    pub(super) const KNOWN: &[&str] = &["top_k"];

    /// The number of predictions, from the address or else from the body.
    pub(super) fn or(&self, body: Option<usize>) -> Result<usize, ApiError> {
        match (&self.top_k, body) {
            (Some(text), _) => parse(text),
            (None, Some(0)) => Err(ApiError::invalid("top_k = 0: expected a number from 1")),
            (None, k) => Ok(k.unwrap_or(DEFAULT)),
        }
    }
}

/// A number of predictions, at least 1.
pub(super) fn parse(text: &str) -> Result<usize, ApiError> {
    match text.parse::<usize>() {
        Ok(k) if k > 0 => Ok(k),
        _ => Err(ApiError::invalid(format!("top_k = {text:?}: expected a number from 1"))),
    }
}
