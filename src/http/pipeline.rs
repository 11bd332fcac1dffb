//! The one way down and up: admitted images become rows, rows become logits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ndarray::Array1;
use tokio::sync::oneshot;

use super::body::{self, Body};
use super::error::ApiError;
use super::memory::Held;
use super::state::AppState;
use crate::catalog::Resolved;
use crate::engine::{self, Answer, ImageKey, Permit, Row};
use crate::image::{self, Preprocessing};
use crate::pack::{Pack, TaskId};
use crate::reload::warn_of_precision;

/// Header by which a request sets its own deadline, milliseconds from its arrival.
const TIMEOUT_HEADER: &str = "x-mimi-timeout-ms";
/// Longest deadline a request may set, milliseconds.
const MAX_TIMEOUT_MS: u64 = 600_000;

/// Header by which a request, with the value `off`, has nothing of its images kept or looked up: how fast an answer
/// comes tells whether somebody asked about the same image lately.
const PREFIX_HEADER: &str = "x-mimi-prefix-cache";

/// An image as it enters the backbone.
#[derive(Clone)]
pub(super) struct Prepared {
    /// `[3, S, S]`.
    pub(super) pixels: Arc<[f32]>,
    /// By what it may be found again.
    pub(super) image: Option<ImageKey>,
}

/// Refuses headers that only look like ours: a misspelt one must not be ignored.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let known = [TIMEOUT_HEADER, PREFIX_HEADER];
    let ours = headers.keys().filter(|name| name.as_str().starts_with("x-mimi-"));
    match ours.into_iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            Err(ApiError::InvalidRequest(format!("unknown header {name}: known are {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// Whether a request lets its images be kept and looked up.
pub(super) fn keeps(state: &AppState, headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(PREFIX_HEADER).map(|value| value.as_bytes()) {
        None | Some(b"on") => Ok(state.options.keeps_prefixes),
        Some(b"off") => Ok(false),
        Some(other) => Err(ApiError::InvalidRequest(format!(
            "{PREFIX_HEADER} = {:?}: expected on or off",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// A task as one request sees it, from door to answer.
#[derive(Clone)]
pub(super) struct Pinned {
    pub(super) task: TaskId,
    pub(super) version: u64,
    pub(super) pack: Arc<Pack>,
}

/// What a request spent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    decode: Duration,
    queue: Duration,
    run: Duration,
    flops: u64,
    batch_rows: usize,
}

/// The task's live pack. One that is read for the first time gives its stored answers before, within the deadline.
pub(super) async fn pin(state: &AppState, task: &str, deadline: Instant) -> Result<Pinned, ApiError> {
    let task: TaskId = task.parse().map_err(ApiError::TaskId)?;
    let pinned = tokio::time::timeout_at(deadline.into(), state.reloader.pin(&task)).await;
    let pinned = pinned.map_err(|_| engine::Error::DeadlineExceeded)?;
    let Resolved { version, pack, is_fresh } = pinned.map_err(|error| state.reload_error(&error))?;
    if is_fresh {
        // This request runs on a covering program; later ones on one that skips what the pack leaves out.
        state.engine.suggest(pack.sites);
        warn_of_precision(&task, &pack, &state.engine);
    }
    Ok(Pinned { task, version, pack })
}

/// When the request's answer is of no more use.
pub(super) fn deadline(state: &AppState, headers: &HeaderMap, arrived: Instant) -> Result<Instant, ApiError> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(arrived + state.options.timeout) };
    let milliseconds = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match milliseconds.filter(|ms| *ms <= MAX_TIMEOUT_MS) {
        Some(ms) => Ok(arrived + Duration::from_millis(ms)),
        None => Err(ApiError::InvalidRequest(format!(
            "{TIMEOUT_HEADER} = {value:?}: expected milliseconds, at most {MAX_TIMEOUT_MS}"
        ))),
    }
}

/// Reads the body, which must have come by the deadline and within the time for bodies. Whoever sends slowly holds what
/// has come and no row's place.
pub(super) async fn read(
    state: &AppState,
    request: Request,
    deadline: Instant,
) -> Result<(Body, Held), ApiError> {
    let mut held = state.memory.hold();
    let longest = state.options.body_timeout;
    let end = deadline.min(Instant::now() + longest);
    let reading = body::read(request, state.options.payload_limit, &mut held);
    match tokio::time::timeout_at(end.into(), reading).await {
        Ok(body) => Ok((body?, held)),
        Err(_) if end == deadline => Err(engine::Error::DeadlineExceeded.into()),
        Err(_) => Err(ApiError::BodyTimeout { seconds: longest.as_secs() }),
    }
}

/// Decodes an image and prepares it as each pack wants; packs that want the same share the pixels.
///
/// # Shapes
/// `[3, S, S]` for each pack.
pub(super) async fn decode(
    state: &AppState,
    (index, bytes, keep): (usize, Bytes, bool),
    (tasks, deadline): (&[Pinned], Instant),
) -> Result<(Vec<Prepared>, Duration), ApiError> {
    let late = |_| ApiError::from(engine::Error::DeadlineExceeded);
    let wanted: Vec<Preprocessing> = tasks.iter().map(|t| t.pack.manifest.preprocessing.clone()).collect();
    let limits = state.options.image;
    // Decoding is CPU work: a bounded number at once, off the threads that serve sockets.
    let slot = Arc::clone(&state.decoders).acquire_owned();
    let slot = tokio::time::timeout_at(deadline.into(), slot).await.map_err(late)?;
    let slot = slot.map_err(|e| ApiError::Internal(e.to_string()))?;
    // Other images being decoded are all that is waited for.
    let held = state.memory.decoding(image::footprint(&bytes, &limits));
    let held = tokio::time::timeout_at(deadline.into(), held).await.map_err(late)?;
    let work = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let pixels = decode_all((&bytes, keep), &limits, &wanted);
        drop((held, slot));
        (pixels, started.elapsed())
    });
    let (pixels, took) = work.await.map_err(|e| ApiError::Internal(e.to_string()))?;
    state.metrics.decode_seconds.observe(took.as_secs_f64());
    Ok((pixels.map_err(|reason| ApiError::Image { index, reason })?, took))
}

fn decode_all(
    (bytes, keep): (&[u8], bool),
    limits: &image::Limits,
    wanted: &[Preprocessing],
) -> Result<Vec<Prepared>, image::Error> {
    let decoded = image::decode(bytes, limits)?;
    let mut made: Vec<(&Preprocessing, Prepared)> = Vec::new();
    let mut all = Vec::with_capacity(wanted.len());
    for preprocessing in wanted {
        let found = made.iter().find(|(known, _)| *known == preprocessing);
        let prepared = match found {
            Some((_, prepared)) => prepared.clone(),
            None => {
                let pixels: Arc<[f32]> = preprocessing.apply(&decoded)?.into();
                let image = keep.then(|| ImageKey::new(bytes, &format!("{preprocessing:?}")));
                let prepared = Prepared { pixels, image };
                made.push((preprocessing, prepared.clone()));
                prepared
            }
        };
        all.push(prepared);
    }
    Ok(all)
}

/// A row that is being served.
pub(super) struct Pending(oneshot::Receiver<Result<Answer, engine::Error>>);

/// Queues one row.
pub(super) fn submit(
    state: &AppState,
    pinned: &Pinned,
    Prepared { pixels, image }: Prepared,
    (permit, deadline): (Permit, Instant),
) -> Pending {
    let (task, pack) = (pinned.task.clone(), Arc::clone(&pinned.pack));
    let row = Row { task, pixels, image, pack, deadline: Some(deadline) };
    Pending(state.engine.submit(row, permit))
}

/// Waits for a row's logits until the deadline. Dropping the wait abandons the row, which then costs nothing.
pub(super) async fn finish(
    state: &AppState,
    pinned: &Pinned,
    pending: Pending,
    deadline: Instant,
) -> Result<(Array1<f32>, Spent), ApiError> {
    let waited = tokio::time::timeout_at(deadline.into(), pending.0).await;
    let received = waited.map_err(|_| engine::Error::DeadlineExceeded)?;
    let answer = received.map_err(|_| engine::Error::WorkerLost)??;
    let flops = pinned.pack.flops;
    state.metrics.flops.with_label_values(&[pinned.task.as_str()]).inc_by(flops);
    let (queue, run, batch_rows) = (answer.queued, answer.run, answer.batch_rows);
    Ok((answer.logits, Spent { decode: Duration::ZERO, queue, run, flops, batch_rows }))
}

impl Spent {
    /// Of rows served side by side, the longest times; of FLOPs, the sum.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            decode: self.decode.max(other.decode),
            queue: self.queue.max(other.queue),
            run: self.run.max(other.run),
            flops: self.flops + other.flops,
            batch_rows: self.batch_rows.max(other.batch_rows),
        }
    }

    /// Adds a decoding time.
    pub(super) fn with_decode(self, decode: Duration) -> Self {
        Self { decode: self.decode.max(decode), ..self }
    }

    /// Headers that tell a client what its request cost.
    pub(super) fn headers(&self) -> HeaderMap {
        let numbers = [
            ("x-mimi-decode-us", self.decode.as_micros() as u64),
            ("x-mimi-queue-us", self.queue.as_micros() as u64),
            ("x-mimi-run-us", self.run.as_micros() as u64),
            ("x-mimi-flops", self.flops),
            ("x-mimi-batch-rows", self.batch_rows as u64),
        ];
        let named = numbers.map(|(name, n)| (HeaderName::from_static(name), HeaderValue::from(n)));
        let mut headers = HeaderMap::from_iter(named);
        let milliseconds = |d: Duration| d.as_secs_f64() * 1e3;
        let (decode, queue, run) =
            (milliseconds(self.decode), milliseconds(self.queue), milliseconds(self.run));
        let timing = format!("decode;dur={decode:.3}, queue;dur={queue:.3}, run;dur={run:.3}");
        if let Ok(value) = HeaderValue::try_from(timing) {
            headers.insert("server-timing", value);
        }
        headers
    }
}
