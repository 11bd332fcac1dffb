//! What operators do with a store: list it, and take away what nothing names.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use super::archive::Archive;
use super::digest::Digest;
use super::edit::{Done, Edit};
use super::error::Error;
use super::feed::Changes;
use super::layout::{digest_of, task_of};
use super::objects::Objects;
use super::place::Place;
use super::pointer::Pointer;
use super::source::{Naming, PackSource, Published, Sweep, Swept};
use crate::pack::TaskId;

/// Pointers read at once.
const AT_ONCE: usize = 16;

impl Objects {
    async fn all_tasks(&self) -> Result<Vec<TaskId>, Error> {
        let listed = self.bucket.list(&self.layout.tasks());
        let mut tasks: Vec<TaskId> = listed
            .try_filter_map(|meta| std::future::ready(Ok(task_of(&meta.location))))
            .try_collect()
            .await?;
        tasks.sort_unstable();
        Ok(tasks)
    }

    /// Every digest that a pointer names. What cannot be read may name any: it is an error.
    async fn named(&self) -> Result<HashSet<Digest>, Error> {
        let listed = self.bucket.list(&self.layout.tasks());
        let names = listed.map_ok(|meta| async move {
            let wrong = || Error::NoPointer(meta.location.to_string());
            let task = task_of(&meta.location).filter(|task| self.layout.pointer(task) == meta.location);
            let pointer = self.read(&task.ok_or_else(wrong)?).await?;
            let versions = pointer.map(|pointer| pointer.versions).unwrap_or_default();
            Ok::<_, Error>(versions.into_values().map(|stored| stored.digest))
        });
        let add = |mut named: HashSet<Digest>, digests| {
            named.extend(digests);
            std::future::ready(Ok(named))
        };
        names.try_buffer_unordered(AT_ONCE).try_fold(HashSet::new(), add).await
    }

    /// Takes old versions out of every pointer. One that is wrong is left as it is, and stops nothing here.
    async fn sweep_tasks(&self, tasks: Vec<TaskId>, sweep: Sweep) -> Result<usize, Error> {
        let swept = futures::stream::iter(tasks).map(|task| async move {
            match self.sweep_task(&task, sweep).await {
                Err(error @ Error::Pointer { .. }) => {
                    tracing::error!(%task, %error, "left as it is");
                    Ok(0)
                }
                swept => swept,
            }
        });
        let add = |all, some| std::future::ready(Ok(all + some));
        swept.buffer_unordered(AT_ONCE).try_fold(0, add).await
    }

    /// Takes away blobs that nothing names. They go to the trash first, where readers still find them; a later run empties
    /// it. So a publisher that names one while it goes loses nothing: it is moved back.
    async fn sweep_all(&self, sweep: Sweep) -> Result<Swept, Error> {
        let tasks = self.all_tasks().await?;
        let mut swept = Swept { tasks: tasks.len(), ..Swept::default() };
        swept.versions = self.sweep_tasks(tasks, sweep).await?;
        // Listed before pointers are read: what a publisher puts later is younger than the grace.
        let blobs = old(self.bucket.list(&self.layout.blobs()), sweep.grace).await?;
        let trash = old(self.bucket.list(&self.layout.all_trash()), sweep.grace).await?;
        let named = self.named().await?;
        for (digest, _) in trash.iter().filter(|_| !sweep.is_dry) {
            if named.contains(digest) {
                self.move_back(digest).await?;
            } else {
                self.bucket.delete(&self.layout.trash(digest)).await?;
            }
        }
        for (digest, meta) in blobs.iter().filter(|(digest, _)| !named.contains(digest)) {
            if sweep.is_dry || self.discard_blob(digest, meta).await? {
                swept.blobs += 1;
                swept.bytes += meta.size;
            }
        }
        Ok(swept)
    }

    async fn sweep_task(&self, task: &TaskId, sweep: Sweep) -> Result<usize, Error> {
        let Some(before) = self.read(task).await? else { return Ok(0) };
        let edit = Edit::Keep { newest: sweep.keep };
        let mut after = before.clone();
        if edit.apply(task, &mut after)?.is_change() && !sweep.is_dry {
            self.change(task, edit).await?;
        }
        Ok(before.versions.len() - after.versions.len())
    }

    /// Moves a blob to the trash, unless it was put again since it was listed.
    async fn discard_blob(&self, digest: &Digest, listed: &ObjectMeta) -> Result<bool, Error> {
        let (blob, trash) = (self.layout.blob(digest), self.layout.trash(digest));
        self.bucket.copy(&blob, &trash).await?;
        let now = self.bucket.head(&blob).await?;
        // Some stores list milliseconds, and tell seconds of one object.
        let second = |meta: &ObjectMeta| meta.last_modified.timestamp();
        if now.is_none_or(|now| second(&now) != second(listed)) {
            return Ok(false);
        }
        self.bucket.delete(&blob).await?;
        Ok(true)
    }

    /// Moves a blob that is named again out of the trash.
    async fn move_back(&self, digest: &Digest) -> Result<(), Error> {
        let (blob, trash) = (self.layout.blob(digest), self.layout.trash(digest));
        if self.bucket.head(&blob).await?.is_none() {
            self.bucket.copy(&trash, &blob).await?;
        }
        self.bucket.delete(&trash).await
    }
}

/// Blobs of at least an age, by digest.
async fn old(
    listed: futures::stream::BoxStream<'static, Result<ObjectMeta, Error>>,
    grace: Duration,
) -> Result<Vec<(Digest, ObjectMeta)>, Error> {
    let is_old = move |meta: &ObjectMeta| {
        let then = std::time::SystemTime::from(meta.last_modified);
        then.elapsed().is_ok_and(|age| age >= grace)
    };
    let named = listed.try_filter_map(move |meta| {
        let digest = digest_of(&meta.location).filter(|_| is_old(&meta));
        std::future::ready(Ok(digest.map(|digest| (digest, meta))))
    });
    named.try_collect().await
}

impl PackSource for Objects {
    fn name(&self) -> String {
        self.called().to_owned()
    }

    fn pointer<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, Result<Option<Arc<Pointer>>, Error>> {
        self.refresh(task).boxed()
    }

    fn fetch<'a>(&'a self, task: &'a TaskId, version: u64) -> BoxFuture<'a, Result<Place, Error>> {
        self.place(task, version).boxed()
    }

    fn changes(&self) -> BoxFuture<'_, Result<Changes, Error>> {
        self.changed().boxed()
    }

    fn publish<'a>(
        &'a self,
        task: &'a TaskId,
        archive: Archive,
        naming: Naming,
    ) -> BoxFuture<'a, Result<Published, Error>> {
        async move { self.add(task, &archive, naming).await }.boxed()
    }

    fn edit<'a>(&'a self, task: &'a TaskId, edit: Edit) -> BoxFuture<'a, Result<Done, Error>> {
        self.change(task, edit).boxed()
    }

    fn tasks(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>> {
        self.all_tasks().boxed()
    }

    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<Swept, Error>> {
        self.sweep_all(sweep).boxed()
    }
}
