//! Compressed bodies: those that come are decompressed within the limit of bodies, those that go are compressed for who
//! asks.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::error::ApiError;
use super::state::AppState;
use crate::service::Held;
use crate::tenants::Caller;

/// Memory of a zstd decoder, bytes: RFC 9659 lets a client use windows of 8 MiB.
const WINDOW: usize = 1 << WINDOW_LOG;
/// See `WINDOW`.
const WINDOW_LOG: u32 = 23;
/// Memory of a gzip decoder, bytes.
const GZIP: usize = 64 << 10;
/// Answers below are sent as they are, bytes.
const LEAST: u64 = 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = given.next() else { return Ok(Self::Plain) };
        let name = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            _ if given.next().is_some() => Err(ApiError::ContentEncoding { given: "several".into() }),
            "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ApiError::ContentEncoding { given: format!("{value:?}") }),
        }
    }

    fn memory(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Gzip => GZIP,
            Self::Zstd => WINDOW,
        }
    }
}

/// The layer: handlers see what clients compressed. How much that is, they bound as they read.
pub(super) async fn decompress(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let encoding = match Encoding::of(request.headers()) {
        Ok(Encoding::Plain) => return next.run(request).await,
        Ok(encoding) => encoding,
        Err(error) => return error.into_response(),
    };
    let Some(caller) = request.extensions().get::<Caller>() else { return next.run(request).await };
    let mut held = state.service.hold(caller);
    if let Err(full) = held.take(encoding.memory()) {
        return ApiError::from(full).into_response();
    }
    let mut request = request.map(|body| decoded(body, encoding, held));
    for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        request.headers_mut().remove(name);
    }
    next.run(request).await
}

/// The body's decompressed bytes; the decoder's memory is held as long as they are read.
fn decoded(body: Body, encoding: Encoding, held: Held) -> Body {
    let bytes = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    match encoding {
        Encoding::Plain | Encoding::Gzip => {
            let mut decoder = GzipDecoder::new(bytes);
            decoder.multiple_members(true);
            streamed(decoder, held)
        }
        Encoding::Zstd => {
            let limits = [DParameter::window_log_max(WINDOW_LOG)];
            let mut decoder = ZstdDecoder::with_params(bytes, &limits);
            decoder.multiple_members(true);
            streamed(decoder, held)
        }
    }
}

fn streamed(reader: impl AsyncRead + Send + 'static, held: Held) -> Body {
    Body::from_stream(ReaderStream::new(reader).inspect_ok(move |_| {
        let _kept = &held;
    }))
}

/// The layer that compresses answers. gRPC compresses by itself.
pub(super) fn compress() -> CompressionLayer<impl Predicate> {
    let worth = SizeAbove::new(LEAST).and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth)
}
