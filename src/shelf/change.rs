//! Changing a store: blobs, then pointers by compare-and-swap, then the feed.

use super::archive::Archive;
use super::bucket::{Asked, Got, When};
use super::edit::{Done, Edit};
use super::error::Error;
use super::objects::Objects;
use super::patience::Patience;
use super::pointer::{MAX_POINTER_BYTES, Pointer, Stored};
use super::source::{Naming, Published};
use crate::pack::TaskId;

impl Objects {
    /// Adds a version: its blob, then the pointer, then the feed. A crash at any step leaves a blob that nothing names, or
    /// a change that is followed late.
    ///
    /// # Errors
    /// When the store fails, or the version breaks a rule of pointers.
    pub(super) async fn add(
        &self,
        task: &TaskId,
        archive: &Archive,
        naming: Naming,
    ) -> Result<Published, Error> {
        let Naming { version, label } = naming;
        let path = self.layout.blob(archive.digest());
        self.bucket.put_blob(&path, archive).await?;
        let stored = Stored::of(archive);
        let done = self.change(task, Edit::Add { version, stored, label }).await?;
        // Named now: whoever removed it before it was named did not know.
        if self.bucket.head(&path).await?.is_none() {
            self.bucket.put_blob(&path, archive).await?;
        }
        Ok(Published { done, digest: archive.digest().clone() })
    }

    /// Changes a pointer by compare-and-swap, and tells the feed.
    ///
    /// # Errors
    /// When the store fails, or the change breaks a rule of pointers.
    pub(super) async fn change(&self, task: &TaskId, mut edit: Edit) -> Result<Done, Error> {
        let (path, mut patience) = (self.layout.pointer(task), Patience::new("the pointer"));
        let done = loop {
            let got = self.bucket.get(Asked::Pointer, &path, None, MAX_POINTER_BYTES).await?;
            let (mut pointer, when) = match got {
                Got::Object(bytes, revision) => (Pointer::parse(task, &bytes)?, When::Unchanged(revision)),
                Got::Absent | Got::Unchanged => (Pointer::new(task), When::Absent),
            };
            let done = edit.apply(task, &mut pointer)?;
            // A write whose answer was lost is tried again: "the one before" must mean the same then.
            edit = edit.settled(done);
            let is_written = || async { self.bucket.put(&path, pointer.bytes(task)?.into(), when).await };
            if !done.is_change() || is_written().await? {
                break done;
            }
            patience.wait().await?;
        };
        self.feed.append(task).await?;
        Ok(done)
    }
}
