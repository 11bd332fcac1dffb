//! What a request wants told of its images.

use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;

/// Predictions in an answer whose request names no number.
const DEFAULT: usize = 5;

/// What is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Number of predictions, likeliest first (default 5).
    top_k: Option<String>,
    /// Whether every logit is wanted too: `true` or `false` (default).
    logits: Option<String>,
}

impl Wanted {
    /// The parameters.
    pub(super) const KNOWN: &[&str] = &["top_k", "logits"];

    /// The number of predictions, from the address or else from the body.
    pub(super) fn top_k_or(&self, body: Option<usize>) -> Result<usize, ApiError> {
        match (&self.top_k, body) {
            (Some(text), _) => parse(text),
            (None, Some(0)) => Err(ApiError::invalid("top_k = 0: expected a number from 1")),
            (None, k) => Ok(k.unwrap_or(DEFAULT)),
        }
    }

    /// Whether logits are wanted.
    pub(super) fn logits(&self) -> Result<bool, ApiError> {
        match self.logits.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::invalid(format!("logits = {other:?}: expected true or false"))),
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
