//! The change feed: which tasks' pointers have changed, in order. It saves looking at pointers that have not; a change that
//! it lacks costs freshness, never correctness.
//!
//! `changes/head.json` is small and asked every second. `changes/<n>.jsonl` has a line a change, [`SEGMENT`] lines a file.
//! A publisher adds its line by compare-and-swap, then moves the head. Lines that the head does not tell yet count.
//! A line that is not well-formed is skipped: whoever follows looks at every pointer then.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bucket::{Asked, Bucket, Got, Revision, When};
use super::error::Error;
use super::layout::{Layout, SEGMENT};
use super::patience::Patience;
use super::pointer::HIGHEST;
use super::segment::{Line, Segment, wrong};
use crate::pack::TaskId;

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

/// How far somebody has followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// The head as it was read last.
    told: Head,
    /// Number of the last change that was seen; the head may not tell it yet.
    seen: u64,
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
        let told = cursor.told;
        let is_behind = head.seq < told.seq || head.segment < told.segment;
        let (seen, changes) =
            if !cursor.has_begun || is_behind || head.segment - told.segment >= MOST_SEGMENTS {
                // It begins, another store stands in its place, or much was missed.
                (head.seq, Changes::Anything)
            } else {
                self.between(cursor, head).await?
            };
        *cursor = Cursor { told: head, seen, revision, has_begun: true };
        Ok(changes)
    }

    /// What has changed since the cursor was moved last, and the number of the last change.
    async fn between(&self, from: &Cursor, head: Head) -> Result<(u64, Changes), Error> {
        let (mut seen, mut tasks, mut is_whole) = (head.seq.max(from.seen), BTreeSet::new(), true);
        if head.seq == from.told.seq {
            return Ok((seen, Changes::Tasks(tasks)));
        }
        for number in from.told.segment..=head.segment {
            let segment = self.read(number).await?.filter(|segment| segment.revision.is_some());
            let Some(segment) = segment else { return Ok((seen, Changes::Anything)) };
            is_whole &= segment.is_whole_after(from.seen);
            for line in segment.lines().filter(|line| line.seq > from.seen) {
                seen = seen.max(line.seq);
                tasks.insert(line.task.clone());
            }
        }
        Ok((seen, if is_whole { Changes::Tasks(tasks) } else { Changes::Anything }))
    }

    /// Adds a change of a task.
    ///
    /// # Errors
    /// When the store fails, or others change the feed all the time.
    pub(super) async fn append(&self, task: &TaskId) -> Result<u64, Error> {
        let mut patience = Patience::new("the change feed");
        loop {
            let (head, _) = self.head().await?;
            let (segment, last) = self.last(head).await?;
            let seq = last + 1;
            if seq > HIGHEST {
                return Err(wrong(segment.number, &format!("no change can follow change {last}")));
            }
            let text = segment.with(&Line { seq, task: task.clone() })?;
            let when = segment.revision.map_or(When::Absent, When::Unchanged);
            if self.bucket.put(&self.layout.segment(segment.number), text.into(), when).await? {
                self.advance(Head { seq, segment: segment.number }).await?;
                return Ok(seq);
            }
            patience.wait().await?;
        }
    }

    /// The segment that has room, empty where there is none yet, and the number of the last change before its room.
    async fn last(&self, head: Head) -> Result<(Segment, u64), Error> {
        let (mut number, mut last) = (head.segment, head.seq);
        loop {
            // A segment that is too large has no room either.
            let segment = self.read(number).await?.unwrap_or_else(|| Segment::too_large(number));
            last = last.max(segment.last());
            if segment.has_room() {
                // No segment has a higher number than its changes.
                return Ok((segment, last.max(number.saturating_sub(1))));
            }
            number += 1;
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

    /// A segment, empty where there is none; none where it is too large to be read.
    async fn read(&self, number: u64) -> Result<Option<Segment>, Error> {
        match self.bucket.get(Asked::Changes, &self.layout.segment(number), None, MAX_SEGMENT).await {
            Ok(Got::Object(text, revision)) => Ok(Some(Segment::parse(number, text, revision))),
            Ok(Got::Absent | Got::Unchanged) => Ok(Some(Segment::empty(number))),
            Err(Error::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Cursor {
    /// Number of the last change that was seen.
    pub(super) fn seq(&self) -> u64 {
        self.seen
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, Error> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|e| Error::Feed { what: "changes/head.json".into(), reason: e.to_string() })?;
    if head.segment > head.seq || head.seq > HIGHEST {
        let reason = format!("segment {} cannot have change {}", head.segment, head.seq);
        return Err(Error::Feed { what: "changes/head.json".into(), reason });
    }
    Ok(head)
}
