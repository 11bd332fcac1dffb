//! Why a request was turned away, whatever it asked.

use super::code::Code;
use super::error::Error;
use crate::engine;
use crate::tenants::Measure;

/// Want of room or of time, in the words of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The queue holds as many rows as it may.
    QueueFull,
    /// Its tenant has as many rows in flight as it may beside others.
    ShareFull,
    /// Its turn would have come after its deadline.
    TooLate,
    /// Requests hold as much memory as they may.
    MemoryFull,
    /// Too many requests to publish are being served.
    Publishing,
    /// Its tenant has used up what it may use for now.
    Quota(Measure),
    /// Its tenant has as many tasks or as much memory of packs as it may.
    Tasks,
    /// The server, the task or the folder is not ready.
    NotReady,
    /// The server is ending.
    ShuttingDown,
}

impl Rejection {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::QueueFull,
        Self::ShareFull,
        Self::TooLate,
        Self::MemoryFull,
        Self::Publishing,
        Self::Quota(Measure::Requests),
        Self::Quota(Measure::Images),
        Self::Quota(Measure::Flops),
        Self::Quota(Measure::Bytes),
        Self::Quota(Measure::Rows),
        Self::Tasks,
        Self::NotReady,
        Self::ShuttingDown,
    ];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ShareFull => "share_full",
            Self::TooLate => "too_late",
            Self::MemoryFull => "memory_full",
            Self::Publishing => "publishing",
            Self::Quota(Measure::Requests) => "quota_requests",
            Self::Quota(Measure::Images) => "quota_images",
            Self::Quota(Measure::Flops) => "quota_flops",
            Self::Quota(Measure::Bytes) => "quota_bytes",
            Self::Quota(Measure::Rows) => "quota_rows",
            Self::Tasks => "quota_tasks",
            Self::NotReady => "not_ready",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// What a code says by itself.
    pub(super) fn of_code(code: Code) -> Option<Self> {
        match code {
            Code::QuotaExceeded => Some(Self::Tasks),
            Code::Overloaded => Some(Self::QueueFull),
            Code::MemoryFull => Some(Self::MemoryFull),
            Code::NotReady => Some(Self::NotReady),
            Code::ShuttingDown => Some(Self::ShuttingDown),
            _ => None,
        }
    }

    /// Why an error turns its request away, if it does.
    pub(super) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Engine(engine::Error::TooLate { .. }) => Some(Self::TooLate),
            Error::Engine(engine::Error::Crowded { .. }) => Some(Self::ShareFull),
            Error::Publishing { .. } => Some(Self::Publishing),
            Error::Quota(exhausted) if error.code() == Code::QuotaExceeded => {
                Some(Self::Quota(exhausted.measure))
            }
            error => Self::of_code(error.code()),
        }
    }
}

/// How a request ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The code.
    pub code: Code,
    /// Why it was turned away, if it was.
    pub rejection: Option<Rejection>,
}

impl Ending {
    /// It was answered.
    pub const OK: Self = Self { code: Code::Ok, rejection: None };

    /// How an outcome ends.
    pub fn of<T>(outcome: &Result<T, Error>) -> Self {
        outcome.as_ref().map_or_else(Self::from, |_| Self::OK)
    }
}

impl From<Code> for Ending {
    fn from(code: Code) -> Self {
        Self { code, rejection: Rejection::of_code(code) }
    }
}

impl From<&Error> for Ending {
    fn from(error: &Error) -> Self {
        Self { code: error.code(), rejection: Rejection::of(error) }
    }
}
