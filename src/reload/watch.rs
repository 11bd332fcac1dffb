//! Brings the catalog in line with the folder of packs, as far as the folder can be believed.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::attempts::QUIET;
use super::blocking::blocking;
use super::error::Error;
use super::losses::{Listed, Trust};
use super::reloader::Reloader;
use super::status::SHOWN;
use super::survey::{Look, Survey};
use super::watcher::Watcher;
use crate::catalog;
use crate::pack::TaskId;

/// Most tasks with a line of their own in the log for one look.
const LOGGED: usize = 5;

impl Reloader {
    /// Lists every task at its newest version, reading none.
    ///
    /// # Errors
    /// When the folder of packs cannot be listed.
    pub async fn list(&self) -> Result<usize, catalog::Error> {
        if self.catalog.store().is_some() {
            // Its tasks are learned at their first request.
            return Ok(0);
        }
        let mut watcher = self.watcher.lock().await;
        let look = self.survey(true).await?;
        let newest = look.seen.iter().filter_map(|(task, seen)| {
            let versions = seen.as_ref().ok()?;
            let stable = look.stable.get(task).copied().unwrap_or(versions.last().copied())?;
            versions.contains(&stable).then(|| (task.clone(), stable))
        });
        self.catalog.list(newest);
        self.apply(&mut watcher, look, false).await;
        Ok(self.catalog.published())
    }

    /// Looks every `interval` at what may have changed, until the future is dropped: at what notices tell of, at the times
    /// of folders without notices, and now and then at everything.
    pub async fn watch(&self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut watcher = self.watcher.lock().await;
            watcher.policy.soon = interval * 2;
            let whole = watcher.is_whole_due(Instant::now(), self.options.full_scan);
            let doubted = watcher.doubted(Instant::now());
            lock(&self.survey).doubt(doubted);
            match self.survey(whole).await {
                Ok(look) => self.apply(&mut watcher, look, false).await,
                // The catalog stays as it is: an error while looking must not unpublish anything.
                Err(error) => self.tell_error(&error),
            }
            self.try_again(interval).await;
            self.find_rewritten(&mut watcher).await;
        }
    }

    /// Trusts what stands in the place of the folder of packs, whatever it lacks. Returns how many tasks that unpublished;
    /// packs of a store are in no folder, and none goes.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn confirm(&self) -> Result<usize, Error> {
        if self.catalog.store().is_some() {
            return Ok(0);
        }
        let mut watcher = self.watcher.lock().await;
        let before = self.catalog.published();
        let look = self.survey(true).await?;
        tracing::warn!("the folder of packs was confirmed as it is");
        self.apply(&mut watcher, look, true).await;
        Ok(before.saturating_sub(self.catalog.published()))
    }

    async fn survey(&self, whole: bool) -> Result<Look, catalog::Error> {
        let survey = Arc::clone(&self.survey);
        let failed = |reason: String| catalog::Error::Folder { path: self.catalog.root().to_owned(), reason };
        let looked = blocking(move || lock(&survey).look(Instant::now(), whole)).await;
        looked.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
    }

    /// Counts that the folder of packs cannot be listed, and logs it once.
    fn tell_error(&self, error: &catalog::Error) {
        self.metrics.packs.folder_errors.with_label_values(&["root"]).inc();
        let text = error.to_string();
        if self.folder_status().error.as_ref() != Some(&text) {
            tracing::error!(%error, "the folder of packs cannot be listed: everything stays as it is");
            self.change_status(|status| status.error = Some(text));
        }
    }

    /// Brings the catalog in line with one look.
    async fn apply(&self, watcher: &mut Watcher, mut look: Look, confirmed: bool) {
        let now = Instant::now();
        if look.is_whole {
            watcher.last_whole = Some(now);
        }
        for name in &look.passed_over {
            tracing::warn!(name, "a folder is ignored: its name is neither a task id nor a version");
        }
        look.gone.extend(self.strays(&look));
        let trust = self.trust(watcher, &look, confirmed);
        let listed = self.listed(&look);
        let believed = watcher.losses.judge(&listed, trust, watcher.policy, now);
        self.unpublish(&look, &believed, trust).await;
        // Until it is confirmed, a strange folder may bring new tasks but change no live one.
        let is_strange = trust == Trust::Other && watcher.losses.count() > 0;
        self.tell_held(watcher);
        self.keep_unlisted(watcher, &look);
        for (task, seen) in &look.seen {
            let Ok(versions) = seen else { continue };
            if !watcher.losses.is_held(task) {
                self.catalog.keep_no_more(task);
                self.catalog.has_versions(task, versions);
            }
            if !is_strange || self.catalog.live(task).is_none() {
                match look.stable.get(task) {
                    Some(stable) => self.advance_to_label(task, *stable, versions).await,
                    None => self.advance(task, versions, believed.contains(task), QUIET).await,
                }
            }
        }
        self.settle(watcher, &look, trust).await;
        self.show(watcher, &look);
    }

    /// Known tasks that a look at everything did not come across: published by hand while their folder went.
    fn strays(&self, look: &Look) -> Vec<TaskId> {
        if !look.is_whole {
            return Vec::new();
        }
        self.catalog.tasks().into_iter().filter(|task| !look.seen.contains_key(task)).collect()
    }

    /// Published tasks whose live version a look lacks, and those whose live version it has.
    fn listed(&self, look: &Look) -> Listed {
        let gone = look.gone.iter().filter(|task| self.catalog.live(task).is_some());
        let (mut lost, mut found) = (gone.cloned().collect::<BTreeSet<_>>(), BTreeSet::new());
        for (task, seen) in &look.seen {
            let (Ok(versions), Some(live)) = (seen, self.catalog.live(task)) else { continue };
            let side = if versions.binary_search(&live).is_ok() { &mut found } else { &mut lost };
            side.insert(task.clone());
        }
        Listed { lost, found, published: self.catalog.published() }
    }

    /// Unpublishes tasks whose loss is believed, and forgets those that never had a live version.
    async fn unpublish(&self, look: &Look, believed: &BTreeSet<TaskId>, trust: Trust) {
        let never_lived = |task: &TaskId| trust != Trust::Other && self.catalog.live(task).is_none();
        let is_over = |task: &&TaskId| believed.contains(*task) || never_lived(task);
        let gone: BTreeSet<TaskId> = look.gone.iter().filter(is_over).cloned().collect();
        let empty = look.seen.iter().filter(|(_, seen)| seen.as_ref().is_ok_and(Vec::is_empty));
        let emptied = empty.map(|(task, _)| task).filter(is_over);
        for task in gone.iter().chain(emptied) {
            if self.catalog.contains(task) {
                tracing::info!(%task, "unpublished: its folder is gone");
                self.catalog.remove(task).await;
            }
            self.attempts.lock().await.forget(task);
        }
        lock(&self.survey).forget(&gone);
    }

    /// Logs once that tasks are kept although the folder lacks them.
    fn tell_held(&self, watcher: &Watcher) {
        let held = if watcher.losses.is_doubtful() { watcher.losses.count() } else { 0 };
        self.metrics.packs.folder_held.set(held as i64);
        if held == 0 {
            return;
        }
        let reason = "the folder of packs lacks it or its live version, which is not believed yet";
        let news = watcher.losses.held().filter(|task| self.catalog.keep(task, reason)).count();
        if news > 0 {
            tracing::error!(held, "tasks that the folder of packs suddenly lacks are kept as they were");
        }
    }

    /// Keeps tasks whose folder cannot be listed as they are; logs the first few of them and how many there are.
    fn keep_unlisted(&self, watcher: &Watcher, look: &Look) {
        let mut news = 0;
        for (task, seen) in &look.seen {
            let Some(reason) = seen.as_ref().err().filter(|_| !watcher.losses.is_held(task)) else {
                continue;
            };
            if self.catalog.keep(task, &format!("its folder cannot be listed: {reason}")) {
                news += 1;
                self.metrics.packs.folder_errors.with_label_values(&["task"]).inc();
                if news <= LOGGED {
                    tracing::error!(%task, %reason, "kept as it was: its folder cannot be listed");
                }
            }
        }
        if news > LOGGED {
            tracing::error!(tasks = news, "kept as they were: their folders cannot be listed");
        }
    }

    /// Publishes the newest version that is newer than the live one and may work; when the live one's folder is gone, the
    /// newest that works.
    async fn advance(&self, task: &TaskId, versions: &[u64], is_lost: bool, quiet: Duration) {
        let live = self.catalog.live(task).filter(|live| !is_lost || versions.binary_search(live).is_ok());
        if versions.last().copied() <= live || self.catalog.is_unloaded(task) {
            return;
        }
        let mut attempts = self.attempts.lock().await;
        for version in versions.iter().rev().copied().take_while(|&version| Some(version) > live) {
            let state = self.state_of(task, version).await;
            if attempts.is_due(task, version, state, Instant::now(), quiet)
                && self.publish(task, (version, state), &mut attempts, None).await.is_ok()
            {
                return;
            }
        }
    }

    /// Tries failed versions again whose files have changed or whose time has come.
    async fn try_again(&self, interval: Duration) {
        let mut tasks = self.catalog.take_doubtful();
        tasks.extend(self.attempts.lock().await.tasks().cloned());
        for task in tasks {
            let (versions, stable) = {
                let survey = lock(&self.survey);
                (survey.versions(&task), survey.stable(&task))
            };
            let Some(versions) = versions else { continue };
            if let Some(stable) = stable {
                self.advance_to_label(&task, stable, &versions).await;
            } else {
                let live = self.catalog.live(&task);
                let is_lost = self.attempts.lock().await.retain(&task, live, &versions);
                self.advance(&task, &versions, is_lost, interval.min(QUIET)).await;
            }
        }
    }

    fn show(&self, watcher: &Watcher, look: &Look) {
        if self.folder_status().error.is_some() {
            tracing::info!("the folder of packs can be listed again");
        }
        let count = if watcher.losses.is_doubtful() { watcher.losses.count() } else { 0 };
        let held = watcher.losses.held().take(count.min(SHOWN)).map(TaskId::to_string).collect();
        let survey = lock(&self.survey);
        let counts = (look.is_whole || !look.passed_over.is_empty())
            .then(|| (survey.passed_over(), survey.unwatched()));
        let (tasks, notices) = (survey.count(), survey.trouble().map(str::to_owned));
        drop(survey);
        self.change_status(|status| {
            (status.error, status.tasks, status.notices) = (None, tasks, notices);
            (status.held, status.held_tasks) = (count, held);
            if let Some((mut names, unwatched)) = counts {
                (status.passed_over, status.unwatched) = (names.len(), unwatched);
                names.truncate(SHOWN);
                status.passed_over_names = names;
                self.metrics.packs.folder_passed_over.set(status.passed_over as i64);
                self.metrics.packs.folder_unwatched.set(unwatched as i64);
            }
        });
    }
}

fn lock(survey: &std::sync::Mutex<Survey>) -> MutexGuard<'_, Survey> {
    survey.lock().unwrap_or_else(PoisonError::into_inner)
}
