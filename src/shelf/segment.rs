//! A file of the change feed: a line a change.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bucket::Revision;
use super::error::Error;
use super::layout::SEGMENT;
use super::pointer::HIGHEST;
use crate::pack::TaskId;

/// A change.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) task: TaskId,
}

/// A change as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    seq: u64,
    task: String,
}

/// A segment as it was read.
pub(super) struct Segment {
    pub(super) number: u64,
    text: Bytes,
    /// Its lines; none for one that is not well-formed.
    lines: Vec<Option<Line>>,
    is_full: bool,
    /// State of the object; none where there is none.
    pub(super) revision: Option<Revision>,
}

impl Segment {
    /// A segment that is not there.
    pub(super) fn empty(number: u64) -> Self {
        Self { number, text: Bytes::new(), lines: Vec::new(), is_full: false, revision: None }
    }

    /// A segment that is too large to be read.
    pub(super) fn too_large(number: u64) -> Self {
        Self { is_full: true, ..Self::empty(number) }
    }

    pub(super) fn parse(number: u64, text: Bytes, revision: Revision) -> Self {
        let lines = text.split(|c| *c == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Option<Line>> = lines.map(Line::parse).collect();
        let is_full = lines.len() as u64 >= SEGMENT;
        Self { number, text, lines, is_full, revision: Some(revision) }
    }

    /// The lines that are well-formed.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().flatten()
    }

    /// Whether all lines behind the last change that was seen are well-formed.
    pub(super) fn is_whole_after(&self, seen: u64) -> bool {
        let is_seen = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.seq <= seen);
        let from = self.lines.iter().rposition(is_seen).map_or(0, |last| last + 1);
        let skipped = self.lines[from..].iter().filter(|line| line.is_none()).count();
        if skipped > 0 {
            let segment = self.number;
            tracing::warn!(
                segment,
                skipped,
                "wrong lines in the feed of changes: every pointer is looked at"
            );
        }
        skipped == 0
    }

    /// Number of its last change, 0 where it has none.
    pub(super) fn last(&self) -> u64 {
        self.lines().map(|line| line.seq).max().unwrap_or(0)
    }

    pub(super) fn has_room(&self) -> bool {
        !self.is_full
    }

    /// Its text with one more line, which begins a line whatever stands before it.
    pub(super) fn with(&self, line: &Line) -> Result<Vec<u8>, Error> {
        let written = Written { seq: line.seq, task: line.task.to_string() };
        let added = serde_json::to_string(&written).map_err(|e| wrong(self.number, &e.to_string()))?;
        let is_cut = self.text.last().is_some_and(|last| *last != b'\n');
        let gap: &[u8] = if is_cut { b"\n" } else { b"" };
        Ok([&self.text[..], gap, added.as_bytes(), b"\n"].concat())
    }
}

impl Line {
    fn parse(line: &[u8]) -> Option<Self> {
        let Written { seq, task } = serde_json::from_slice(line).ok()?;
        let task = task.parse().ok()?;
        (1..=HIGHEST).contains(&seq).then_some(Self { seq, task })
    }
}

/// What is wrong with a segment.
pub(super) fn wrong(number: u64, reason: &str) -> Error {
    Error::Feed { what: format!("changes/{number}.jsonl"), reason: reason.to_owned() }
}
