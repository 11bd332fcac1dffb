//! The change feed: which tasks' pointers have changed, in order. It saves looking at pointers that have not; a change that
//! it lacks costs freshness, never correctness.
//!
//! `changes/head.json` is small and asked every second. `changes/<n>.jsonl` has a line a change, [`SEGMENT`] lines a file.
//! A publisher adds its line by compare-and-swap, then moves the head. Lines that the head does not tell yet count.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bucket::{Asked, Bucket, Got, Revision, When};
use super::error::Error;
use super::layout::{Layout, SEGMENT};
use super::patience::Patience;
use crate::pack::{self, TaskId};

/// Largest head that is read, bytes.
const MAX_HEAD: u64 = 4 << 10;
/// Largest segment that is read, bytes.
const MAX_SEGMENT: u64 = SEGMENT * 256;
/// Most segments that are read for one look; whoever is farther behind looks at every pointer.
const MOST_SEGMENTS: u64 = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    segment: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    seq: u64,
    task: String,
}

/// How far somebody has followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    head: Head,
    revision: Option<Revision>,
    has_begun: bool,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The pointers of these tasks.
    Tasks(BTreeSet<TaskId>),
    /// Any pointer may have.
    Anything,
}

/// A segment as it was read.
struct Segment {
    number: u64,
    text: Bytes,
    lines: Vec<Line>,
    revision: Option<Revision>,
}

/// The feed of a store.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    bucket: Bucket,
    layout: Layout,
}

impl Feed {
    pub(super) fn new(bucket: Bucket, layout: Layout) -> Self {
        Self { bucket, layout }
    }

    /// What has changed since the cursor, which moves. The first look begins at the head: anything may have changed before.
    ///
    /// # Errors
    /// When the store fails, or the feed is not well-formed; the cursor stays then.
    pub(super) async fn since(&self, cursor: &mut Cursor) -> Result<Changes, Error> {
        let got =
            self.bucket.get(Asked::Changes, &self.layout.head(), cursor.revision.as_ref(), MAX_HEAD).await?;
        let (head, revision) = match got {
            Got::Unchanged => return Ok(Changes::Tasks(BTreeSet::new())),
            Got::Absent => (Head::default(), None),
            Got::Object(bytes, revision) => (parse_head(&bytes)?, Some(revision)),
        };
        let from = cursor.head;
        let is_behind = head.seq < from.seq || head.segment < from.segment;
        let (seq, changes) = if !cursor.has_begun || is_behind || head.segment - from.segment >= MOST_SEGMENTS
        {
            // It begins, another store stands in its place, or much was missed.
            (head.seq, Changes::Anything)
        } else {
            self.between(from, head).await?
        };
        *cursor = Cursor { head: Head { seq, segment: head.segment }, revision, has_begun: true };
        Ok(changes)
    }

    /// What has changed since `from`, and the number of the last change.
    async fn between(&self, from: Head, head: Head) -> Result<(u64, Changes), Error> {
        let (mut seq, mut tasks) = (head.seq, BTreeSet::new());
        if head.seq == from.seq {
            return Ok((seq, Changes::Tasks(tasks)));
        }
        for number in from.segment..=head.segment {
            let Some(segment) = self.read(number).await? else { return Ok((seq, Changes::Anything)) };
            for line in segment.lines.into_iter().filter(|line| line.seq > from.seq) {
                seq = seq.max(line.seq);
                tasks.insert(line.task.parse().map_err(|e: pack::Error| wrong(number, &e.to_string()))?);
            }
        }
        Ok((seq, Changes::Tasks(tasks)))
    }

    /// Adds a change of a task.
    ///
    /// # Errors
    /// When the store fails, or others change the feed all the time.
    pub(super) async fn append(&self, task: &TaskId) -> Result<u64, Error> {
        let mut patience = Patience::new("the change feed");
        loop {
            let (head, _) = self.head().await?;
            let segment = self.last(head).await?;
            let last = segment.lines.last().map_or(0, |line| line.seq);
            let line = Line { seq: head.seq.max(last) + 1, task: task.to_string() };
            let text = serde_json::to_string(&line).map_err(|e| wrong(segment.number, &e.to_string()))?;
            let text = [&segment.text[..], text.as_bytes(), b"\n"].concat();
            let when = segment.revision.map_or(When::Absent, When::Unchanged);
            if self.bucket.put(&self.layout.segment(segment.number), text.into(), when).await? {
                self.advance(Head { seq: line.seq, segment: segment.number }).await?;
                return Ok(line.seq);
            }
            patience.wait().await?;
        }
    }

    /// The segment that has room, empty where there is none yet.
    async fn last(&self, head: Head) -> Result<Segment, Error> {
        let mut number = head.segment;
        loop {
            match self.read(number).await? {
                Some(segment) if segment.lines.len() as u64 >= SEGMENT => number += 1,
                Some(segment) => return Ok(segment),
                None => return Ok(Segment { number, text: Bytes::new(), lines: Vec::new(), revision: None }),
            }
        }
    }

    /// Moves the head on, unless somebody has.
    async fn advance(&self, to: Head) -> Result<(), Error> {
        let mut patience = Patience::new("the head of the change feed");
        loop {
            let (head, revision) = self.head().await?;
            if head.seq >= to.seq {
                return Ok(());
            }
            let to = Head { segment: to.segment.max(head.segment), ..to };
            let text = serde_json::to_vec(&to).map_err(|e| wrong(to.segment, &e.to_string()))?;
            let when = revision.map_or(When::Absent, When::Unchanged);
            if self.bucket.put(&self.layout.head(), text.into(), when).await? {
                return Ok(());
            }
            patience.wait().await?;
        }
    }

    async fn head(&self) -> Result<(Head, Option<Revision>), Error> {
        match self.bucket.get(Asked::Changes, &self.layout.head(), None, MAX_HEAD).await? {
            Got::Object(bytes, revision) => Ok((parse_head(&bytes)?, Some(revision))),
            Got::Absent | Got::Unchanged => Ok((Head::default(), None)),
        }
    }

    async fn read(&self, number: u64) -> Result<Option<Segment>, Error> {
        match self.bucket.get(Asked::Changes, &self.layout.segment(number), None, MAX_SEGMENT).await? {
            Got::Object(text, revision) => {
                let lines = text.split(|c| *c == b'\n').filter(|line| !line.is_empty());
                let lines = lines.map(serde_json::from_slice).collect::<Result<Vec<Line>, _>>();
                let lines = lines.map_err(|e| wrong(number, &e.to_string()))?;
                Ok(Some(Segment { number, text, lines, revision: Some(revision) }))
            }
            Got::Absent | Got::Unchanged => Ok(None),
        }
    }
}

impl Cursor {
    /// Number of the last change that was followed.
    pub(super) fn seq(&self) -> u64 {
        self.head.seq
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, Error> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|e| Error::Feed { what: "changes/head.json".into(), reason: e.to_string() })?;
    if head.segment > head.seq {
        let reason = format!("segment {} cannot have change {}", head.segment, head.seq);
        return Err(Error::Feed { what: "changes/head.json".into(), reason });
    }
    Ok(head)
}

fn wrong(number: u64, reason: &str) -> Error {
    Error::Feed { what: format!("changes/{number}.jsonl"), reason: reason.to_owned() }
}
