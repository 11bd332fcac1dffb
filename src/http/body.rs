//! Images and fields out of a request's body: raw bytes, multipart, or JSON with base64.

use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::error::ApiError;

/// What a classify request brings.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Encoded images.
    pub(super) images: Vec<Bytes>,
    /// Task names, where the route does not name the task.
    pub(super) tasks: Vec<String>,
    /// How many predictions are wanted.
    pub(super) top_k: Option<usize>,
    /// Whether the request asked for a list of results, even of one image.
    pub(super) is_batch: bool,
}

/// The JSON form. Unknown fields are refused: a misspelt `top_k` must not be ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonBody {
    image: Option<String>,
    images: Option<Vec<String>>,
    #[serde(default)]
    tasks: Vec<String>,
    top_k: Option<usize>,
}

/// Reads the body in the form that its content type tells; anything but JSON and multipart is an image.
pub(super) async fn read(request: Request, limit: usize) -> Result<Body, ApiError> {
    match content_type(request.headers()) {
        Kind::Json => read_json(&bytes(request, limit).await?),
        Kind::Multipart => read_multipart(request, limit).await,
        Kind::Raw => {
            let image = bytes(request, limit).await?;
            Ok(Body { images: vec![image], ..Body::default() })
        }
    }
}

/// Reads a body of any bytes as the classify routes do, and counts its images: for tests that try what clients may send.
///
/// # Errors
/// What a client would be told.
pub async fn examine(content_type: &str, body: Vec<u8>) -> Result<usize, String> {
    let limit = body.len();
    let request = Request::builder().method("POST").header(header::CONTENT_TYPE, content_type);
    let request = request.body(body.into()).map_err(|error| error.to_string())?;
    read(request, limit).await.map(|body| body.images.len()).map_err(|error| error.to_string())
}

enum Kind {
    Json,
    Multipart,
    Raw,
}

fn content_type(headers: &HeaderMap) -> Kind {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Kind::Json,
        "multipart/form-data" => Kind::Multipart,
        _ => Kind::Raw,
    }
}

async fn bytes(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit },
        _ => ApiError::InvalidRequest(format!("the body could not be read: {}", rejection.body_text())),
    })
}

fn read_json(bytes: &[u8]) -> Result<Body, ApiError> {
    let json: JsonBody = serde_json::from_slice(bytes)
        .map_err(|e| ApiError::InvalidRequest(format!("the body is not the expected JSON: {e}")))?;
    let (encoded, is_batch) = match (json.image, json.images) {
        (Some(image), None) => (vec![image], false),
        (None, Some(images)) => (images, true),
        _ => return Err(ApiError::InvalidRequest("expected either \"image\" or \"images\"".into())),
    };
    let images = encoded.iter().enumerate().map(|(index, text)| decode_base64(index, text));
    Ok(Body { images: images.collect::<Result<_, _>>()?, tasks: json.tasks, top_k: json.top_k, is_batch })
}

/// Base64, with or without the head of a data URL.
fn decode_base64(index: usize, text: &str) -> Result<Bytes, ApiError> {
    let data = match text.split_once(";base64,") {
        Some((head, data)) if head.starts_with("data:") => data,
        _ => text,
    };
    let decoded = BASE64_STANDARD.decode(data.trim());
    decoded
        .map(Bytes::from)
        .map_err(|e| ApiError::InvalidRequest(format!("image {index} is not base64: {e}")))
}

async fn read_multipart(request: Request, limit: usize) -> Result<Body, ApiError> {
    let refused = |e: MultipartError| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit },
        _ => ApiError::InvalidRequest(format!("the multipart body is malformed: {}", e.body_text())),
    };
    let mut parts = Multipart::from_request(request, &()).await.map_err(|e| {
        ApiError::InvalidRequest(format!("the multipart body is malformed: {}", e.body_text()))
    })?;
    let mut body = Body::default();
    while let Some(field) = parts.next_field().await.map_err(refused)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" | "images" | "file" => body.images.push(field.bytes().await.map_err(refused)?),
            "tasks" => {
                let text = text(field).await.map_err(refused)?;
                body.tasks.extend(text.split(',').map(|task| task.trim().to_owned()));
            }
            "top_k" => body.top_k = Some(parse_top_k(&text(field).await.map_err(refused)?)?),
            other => {
                let known = "image, images, file, tasks, top_k";
                return Err(ApiError::InvalidRequest(format!("unknown field {other:?}; known are {known}")));
            }
        }
    }
    body.is_batch = body.images.len() > 1;
    Ok(body)
}

async fn text(field: Field<'_>) -> Result<String, MultipartError> {
    field.text().await
}

/// A number of predictions, at least 1.
pub(super) fn parse_top_k(text: &str) -> Result<usize, ApiError> {
    match text.parse::<usize>() {
        Ok(k) if k > 0 => Ok(k),
        _ => Err(ApiError::InvalidRequest(format!("top_k = {text:?}: expected a number from 1"))),
    }
}
