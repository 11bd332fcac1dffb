//! Images and fields out of a request's body: raw bytes, multipart, or JSON with base64.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{BodyDataStream, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::Deserialize;

use super::encoded;
use super::error::ApiError;
use super::wanted;
use crate::engine::Share;
use crate::files;
use crate::metrics::Metrics;
use crate::service::{Held, Memory, Receiving};

/// Longest text of a parser that is told, characters.
const TOLD: usize = 300;

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

/// Memory that an item of a list may take, bytes: its text, its image, and as much again while the list grows. An empty
/// item takes three bytes of the body.
const ITEM_BYTES: usize = 128;

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

/// Reads the body in the form that its content type names; anything but JSON and multipart is an image. `held` grows as
/// bytes come: a body that was announced and does not come costs nothing.
pub(super) async fn read(request: Request, limit: usize, held: &mut Held) -> Result<Body, ApiError> {
    match content_type(request.headers()) {
        Kind::Json => read_json(&bytes(request, limit, held).await?, held),
        Kind::Multipart => read_multipart(request, limit, held).await,
        Kind::Raw => {
            let image = bytes(request, limit, held).await?;
            Ok(Body { images: vec![image], ..Body::default() })
        }
    }
}

/// Reads a body of any bytes as the classify routes do, and counts its images. Tests try with it what clients may send.
///
/// # Errors
/// The error that a client would get.
pub async fn examine(content_type: &str, body: Vec<u8>) -> Result<usize, String> {
    let limit = body.len();
    let request = Request::builder().method("POST").header(header::CONTENT_TYPE, content_type);
    let request = request.body(body.into()).map_err(|error| error.to_string())?;
    let metrics = Metrics::new().map_err(|error| error.to_string())?;
    // No limit but the body's own: what is tried is what its bytes say.
    let mut held = Memory::new(u64::MAX, Arc::new(metrics)).hold(Share::EVERYBODY);
    let body = read(request, limit, &mut held).await;
    body.map(|body| body.images.len()).map_err(|error| error.to_string())
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

/// Reads a body as it is.
pub(super) async fn bytes(request: Request, limit: usize, held: &mut Held) -> Result<Bytes, ApiError> {
    let (mut pieces, mut whole) = (Pieces::of(request, limit)?, Vec::new());
    while let Some(piece) = pieces.next().await? {
        held.take(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Has a body written to the disk, a piece at a time.
pub(super) async fn to_disk(
    request: Request,
    limit: usize,
    receiving: &mut Receiving,
) -> Result<(), ApiError> {
    let mut pieces = Pieces::of(request, limit)?;
    while let Some(piece) = pieces.next().await? {
        receiving.write(&piece).await?;
    }
    Ok(())
}

/// A body as it comes, as much of it as is allowed.
struct Pieces {
    stream: BodyDataStream,
    came: usize,
    limit: usize,
}

impl Pieces {
    /// The body of a request that does not announce more than `limit` bytes.
    fn of(request: Request, limit: usize) -> Result<Self, ApiError> {
        let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if declared.and_then(|text| text.parse::<u64>().ok()).is_some_and(|bytes| bytes > limit as u64) {
            return Err(ApiError::BodyTooLarge { limit });
        }
        Ok(Self { stream: request.into_body().into_data_stream(), came: 0, limit })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(piece) = self.stream.next().await else { return Ok(None) };
        let piece = piece.map_err(|e| ApiError::invalid(format!("the body could not be read: {e}")))?;
        self.came += piece.len();
        if self.came > self.limit {
            Err(ApiError::BodyTooLarge { limit: self.limit })
        } else {
            Ok(Some(piece))
        }
    }
}

fn read_json(bytes: &[u8], held: &mut Held) -> Result<Body, ApiError> {
    // The texts are held beside the body, and the images beside the texts.
    held.take(bytes.len().saturating_mul(2).saturating_add(items(bytes)))?;
    let json: JsonBody = serde_json::from_slice(files::without_mark(bytes)).map_err(|e| unexpected(&e))?;
    let (encoded, is_batch) = match (json.image, json.images) {
        (Some(image), None) => (vec![image], false),
        (None, Some(images)) => (images, true),
        _ => return Err(ApiError::invalid("expected either \"image\" or \"images\"")),
    };
    let images = encoded.iter().enumerate().map(|(index, text)| {
        encoded::decode(text).map_err(|reason| ApiError::invalid(format!("image {index} is {reason}")))
    });
    Ok(Body { images: images.collect::<Result<_, _>>()?, tasks: json.tasks, top_k: json.top_k, is_batch })
}

/// A refusal of JSON. The parser's words may have a client's text in them, however long it is.
pub(super) fn unexpected(error: &serde_json::Error) -> ApiError {
    let told: String = error.to_string().chars().take(TOLD).collect();
    ApiError::invalid(format!("the body is not the expected JSON: {told}"))
}

/// What the items of lists in a text may take, bytes.
fn items(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b',').count().saturating_mul(ITEM_BYTES)
}

/// Why a body ended early. The parser only knows that it did.
type Full = Arc<Mutex<Option<ApiError>>>;

/// The request with a body whose bytes are held as they come, including those that a parser keeps to itself.
fn counted(request: Request, mut coming: Held) -> (Request, Full) {
    let full = Full::default();
    let why = Arc::clone(&full);
    let request = request.map(|body| {
        axum::body::Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk?;
            coming.take(chunk.len()).map_err(|error| {
                let told = axum::Error::new(error.to_string());
                *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
                told
            })?;
            Ok::<_, axum::Error>(chunk)
        }))
    });
    (request, full)
}

async fn read_multipart(request: Request, limit: usize, held: &mut Held) -> Result<Body, ApiError> {
    let (request, full) = counted(request, held.beside());
    let refused =
        |e: MultipartError| match (full.lock().unwrap_or_else(PoisonError::into_inner).take(), e.status()) {
            (Some(error), _) => error,
            (None, StatusCode::PAYLOAD_TOO_LARGE) => ApiError::BodyTooLarge { limit },
            _ => ApiError::invalid(format!("the multipart body is malformed: {}", e.body_text())),
        };
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|e| ApiError::invalid(format!("the multipart body is malformed: {}", e.body_text())))?;
    let mut body = Body::default();
    while let Some(mut field) = parts.next_field().await.map_err(refused)? {
        let name = field.name().unwrap_or_default().to_owned();
        let mut content = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(refused)? {
            held.take(chunk.len())?;
            content.extend_from_slice(&chunk);
        }
        match name.as_str() {
            "image" | "images" | "file" => body.images.push(content.into()),
            "tasks" => {
                held.take(items(&content))?;
                body.tasks.extend(text(&name, content)?.split(',').map(|task| task.trim().to_owned()));
            }
            "top_k" => body.top_k = Some(wanted::parse(text(&name, content)?.trim())?),
            other => {
                let known = "image, images, file, tasks, top_k";
                return Err(ApiError::invalid(format!("unknown field {other:?}; known are {known}")));
            }
        }
    }
    body.is_batch = body.images.len() > 1;
    Ok(body)
}

fn text(name: &str, content: Vec<u8>) -> Result<String, ApiError> {
    String::from_utf8(content).map_err(|e| ApiError::invalid(format!("field {name:?}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Error;

    async fn held_at_most(limit: u64, content_type: &str, body: String) -> Result<Body, ApiError> {
        let request = Request::builder().method("POST").header(header::CONTENT_TYPE, content_type);
        let request = request.body(axum::body::Body::from(body)).unwrap();
        let mut held = Memory::new(limit, Arc::new(Metrics::new().unwrap())).hold(Share::EVERYBODY);
        read(request, 32 << 20, &mut held).await
    }

    #[tokio::test]
    async fn f6_many_small_items_are_held_for_what_they_take() {
        let items = vec!["\"\""; 100_000].join(",");
        for name in ["tasks", "images"] {
            let body = format!("{{\"image\":\"\",\"{name}\":[{items}]}}");
            let refused = held_at_most(4 << 20, "application/json", body).await.unwrap_err();
            assert!(matches!(refused, ApiError::Service(Error::MemoryFull { .. })), "{refused}");
        }
        let commas = ",".repeat(100_000);
        let body =
            format!("--x\r\ncontent-disposition: form-data; name=\"tasks\"\r\n\r\n{commas}\r\n--x--\r\n");
        let refused = held_at_most(4 << 20, "multipart/form-data; boundary=x", body).await.unwrap_err();
        assert!(matches!(refused, ApiError::Service(Error::MemoryFull { .. })), "{refused}");
    }

    #[tokio::test]
    async fn f6_what_a_parser_keeps_to_itself_is_held() {
        let body = "a".repeat(2 << 20);
        let refused = held_at_most(1 << 20, "multipart/form-data; boundary=x", body).await.unwrap_err();
        assert!(matches!(refused, ApiError::Service(Error::MemoryFull { .. })), "{refused}");
    }
}
