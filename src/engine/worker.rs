//! The loop that owns the device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::batches::Policy;
use super::error::Error;
use super::health::{Health, REST, Trust, is_of_device};
use super::inbox::{Inbox, Waiting};
use super::lane::Compiled;
use super::meter::Cost;
use super::queue::{Charge, Taken};
use super::reply::Outcome;
use super::row::{Flow, Row};
use super::run::{Feature, Runner};
use super::speed::Run;
use crate::graph::Plan;
use crate::metrics::Metrics;

/// A command from the compiler to a worker.
pub(super) enum Command {
    /// Keep this program.
    Install(Plan, Box<Compiled>),
    /// Drop the program of this plan.
    Drop(Plan),
}

/// One thread with its programs.
pub(super) struct Worker {
    pub(super) inbox: Arc<Inbox>,
    pub(super) commands: Receiver<Command>,
    pub(super) runner: Runner,
    pub(super) policy: Policy,
    pub(super) metrics: Arc<Metrics>,
    /// Which of the engine's devices it runs on.
    pub(super) device: usize,
}

impl Worker {
    /// Serves batches until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        while self.is_trusted()
            && let Some(batch) = self.inbox.next_batch(&self.policy, self.device)
        {
            self.obey();
            // Our code does not panic; should a dependency do so, its batch fails and the worker goes on. The
            // rows' senders are dropped with the batch, which their requests see as `WorkerLost`.
            let (batch, mut charges) = batch.into_iter().map(|Taken { row, charge }| (row, charge)).unzip();
            if catch_unwind(AssertUnwindSafe(|| self.serve(batch, &mut charges))).is_err() {
                tracing::error!("a batch panicked; its requests fail, the worker goes on");
                self.inbox.note_device(self.device, Health::doubt);
            }
            // Of what failed the estimate holds.
            self.inbox.settle(charges.into_iter().map(|charge| (charge.cost(), charge)));
        }
    }

    /// Waits until the device gets batches; false if the inbox is closed first.
    fn is_trusted(&mut self) -> bool {
        loop {
            match self.inbox.trust(self.device) {
                Trust::In => return true,
                Trust::Out if self.inbox.closes_within(REST) => return false,
                Trust::Doubted | Trust::Out => self.try_device(),
            }
        }
    }

    /// Runs a row of zeros, if that may change anything.
    fn try_device(&mut self) {
        self.obey();
        if !self.inbox.needs_trial(self.device) {
            return;
        }
        let tried = catch_unwind(AssertUnwindSafe(|| self.runner.try_device()));
        let tried = tried.unwrap_or(Err(Error::WorkerLost));
        let changed = self.inbox.note_device(self.device, |health| health.tried(tried.is_ok()));
        let name = self.runner.lane.resident().device();
        match (changed, tried) {
            ([Trust::Doubted, Trust::Out], Err(error)) => {
                tracing::error!(device = %name, %error, "the device fails and takes no more batches");
            }
            ([Trust::Out, Trust::In], _) => tracing::info!(device = %name, "the device answers again"),
            ([Trust::Doubted, Trust::In], _) => {
                tracing::warn!(device = %name, "batches failed, but the device runs a row: it stays");
            }
            _ => {}
        }
    }

    /// Notes what a batch's result says of the device. What was kept from before ran nothing.
    fn note<T>(&self, result: &Result<T, Error>) {
        let of = match result {
            Ok(_) if self.runner.ran > 0 => Health::ran,
            Err(error) if is_of_device(error) => Health::failed,
            _ => return,
        };
        self.inbox.note_device(self.device, of);
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Install(plan, compiled) => self.runner.install(plan, *compiled),
                Command::Drop(plan) => self.runner.drop_program(&plan),
            }
        }
    }

    fn serve(&mut self, batch: Vec<Waiting>, charges: &mut Vec<Charge>) {
        if batch.is_empty() {
            return;
        }
        let span = batch_span(&batch);
        let _entered = span.enter();
        let started = Instant::now();
        batch.iter().for_each(|waiting| tell_wait(waiting, started));
        let rows: Vec<&Row> = batch.iter().map(|waiting| &waiting.row).collect();
        let result = tracing::debug_span!("run").in_scope(|| self.runner.features(&rows));
        let run = started.elapsed();
        self.note(&result);
        self.observe(&batch, started, run.as_secs_f64());
        match result {
            Ok(features) => {
                // Only here: what a failed batch ran is nobody's.
                self.metrics.engine.engine_flops.inc_by(self.runner.ran);
                let costs = features.iter().map(|feature| feature.flops);
                let (rows, expected) = (batch.len(), charges.iter().map(Charge::cost).sum());
                self.inbox.note(Run { rows, expected, flops: costs.clone().sum(), took: run }, &self.policy);
                self.inbox.settle(costs.zip(charges.drain(..)));
                self.answer(batch, features, (started, run));
            }
            Err(error) => fail(batch, error),
        }
    }

    /// Sends each row its feature.
    fn answer(&self, batch: Vec<Waiting>, features: Vec<Feature>, (started, run): (Instant, Duration)) {
        let batch_rows = batch.len();
        let total: u64 = features.iter().map(|feature| feature.flops).sum();
        for (waiting, Feature { values, flops, shared }) in batch.into_iter().zip(features) {
            let queued = started.saturating_duration_since(waiting.entered);
            let outcome = Outcome { feature: values, queued, run, batch_rows, flops, shared };
            record(&waiting.row.span, &outcome);
            if let Some(meter) = &waiting.row.meter {
                meter.ran(Cost { flops, device: part(run, (flops, total), batch_rows) });
            }
            if waiting.row.share.flow == Flow::INTERNAL {
                self.metrics.engine.internal_flops.inc_by(flops);
            }
            if !waiting.reply(Ok(outcome)) {
                self.metrics.engine.unclaimed_flops.inc_by(flops);
            }
        }
    }

    fn observe(&self, batch: &[Waiting], started: Instant, run_seconds: f64) {
        let mut packs: Vec<_> = batch.iter().map(|w| Arc::as_ptr(&w.row.pack)).collect();
        packs.sort_unstable();
        packs.dedup();
        self.metrics.engine.batch_rows.observe(batch.len() as f64);
        self.metrics.engine.batch_packs.observe(packs.len() as f64);
        self.metrics.engine.run_seconds.observe(run_seconds);
        for waiting in batch {
            self.metrics.engine.queue_seconds.observe((started - waiting.entered).as_secs_f64());
        }
    }
}

/// A row's part of its batch's run: by FLOPs, or an equal one where nothing was computed.
fn part(run: Duration, (flops, total): (u64, u64), rows: usize) -> Duration {
    let share = if total > 0 { flops as f64 / total as f64 } else { 1.0 / rows.max(1) as f64 };
    run.mul_f64(share.min(1.0))
}

/// The span of a row's wait, told when it is over.
fn tell_wait(waiting: &Waiting, started: Instant) {
    let span = &waiting.row.span;
    if !span.is_disabled() {
        let [ago, took] = [waiting.entered.elapsed(), started.saturating_duration_since(waiting.entered)]
            .map(|d| d.as_micros() as u64);
        drop(tracing::debug_span!(parent: span, "queue", ago_us = ago, took_us = took));
    }
}

/// The span of a batch, of no request: it and its rows' spans follow from each other.
fn batch_span(batch: &[Waiting]) -> tracing::Span {
    let span = tracing::debug_span!(parent: None, "batch", rows = batch.len());
    if !span.is_disabled() {
        for waiting in batch {
            span.follows_from(&waiting.row.span);
            waiting.row.span.follows_from(&span);
        }
    }
    span
}

/// Records a row's outcome in its span: a trace survives the hop to this thread.
fn record(span: &tracing::Span, outcome: &Outcome) {
    if !span.is_disabled() {
        span.record("queued_us", outcome.queued.as_micros() as u64);
        span.record("run_us", outcome.run.as_micros() as u64);
        span.record("batch_rows", outcome.batch_rows as u64);
    }
}

fn fail(batch: Vec<Waiting>, error: Error) {
    tracing::error!(rows = batch.len(), %error, "a batch failed");
    for waiting in batch {
        waiting.reply(Err(error.clone()));
    }
}
