//! What is asked and answered.

use prometheus::{Histogram, IntCounterVec, IntGauge, Registry};

use super::make::{counters, gauge, seconds};

use super::task_labels::TaskLabels;
use super::task_times::TaskTimes;
use super::tasks::TaskCounters;

/// What is asked and answered.
pub struct RequestMetrics {
    /// Requests and FLOPs, by task.
    pub tasks: TaskCounters,
    /// The same requests by code alone. Each code has its series from the start, so that its first step shows.
    pub answers: IntCounterVec,
    /// Requests turned away for want of room or time, by reason.
    pub rejections: IntCounterVec,
    /// How long answers take, by task.
    pub times: TaskTimes,
    /// Time from a request's header to its answer.
    pub request_seconds: Histogram,
    /// Decoding and resizing one image.
    pub decode_seconds: Histogram,
    /// Memory that requests hold: bodies, and images being decoded.
    pub request_bytes: IntGauge,
}

impl RequestMetrics {
    pub(super) fn new(r: &Registry, labels: TaskLabels) -> Result<Self, prometheus::Error> {
        Ok(Self {
            tasks: TaskCounters::default(),
            times: TaskTimes::new(labels),
            answers: counters(
                r,
                "mimi_answers_total",
                "Answered requests, by code (ok or an error code); every code from the start",
                &["code"],
            )?,
            rejections: counters(
                r,
                "mimi_rejections_total",
                "Requests turned away for want of room or time, by reason: queue_full, share_full, too_late, memory_full, publishing, quota_requests, quota_images, quota_flops, quota_bytes, quota_rows, quota_tasks, not_ready, shutting_down",
                &["reason"],
            )?,
            request_seconds: seconds(
                r,
                "mimi_request_duration_seconds",
                "Time from a request's header to its answer",
            )?,
            decode_seconds: seconds(
                r,
                "mimi_decode_duration_seconds",
                "Time to decode and resize one image",
            )?,
            request_bytes: gauge(
                r,
                "mimi_request_bytes",
                "Memory that requests hold: bodies, and images being decoded",
            )?,
        })
    }
}
