//! What a request takes of its tenant's quotas: charged when it is admitted, put right when its rows have run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::ask::Terms;
use super::error::Error;
use super::handle::{Service, forget_unpublished};
use crate::catalog::Catalog;
use crate::engine::{Cost, Meter, Permit, Want};
use crate::metrics::{Metrics, NO_TASK};
use crate::pack::TaskId;
use crate::reload::Pinned;
use crate::tenants::{Account, Caller, Left, Measure, Rows};
use crate::usage::{Billed, Charge, Usage};

/// What one request was charged and has not spent yet. What is left of it is given back when this is dropped.
pub(super) struct Bill {
    account: Option<Arc<Account>>,
    images: AtomicU64,
    flops: AtomicU64,
    _rows: Option<Rows>,
}

impl Service {
    /// Takes a request in, before its body is read.
    ///
    /// # Errors
    /// [`Error::Quota`] when its tenant has used up what it may use for now, of whatever is measured.
    pub fn enter(&self, caller: &Caller) -> Result<(), Error> {
        let Some(account) = account(caller) else { return Ok(()) };
        let charges =
            [(Measure::Requests, 1.0), (Measure::Images, 0.0), (Measure::Flops, 0.0), (Measure::Bytes, 0.0)];
        account.take(&charges, Instant::now()).map_err(Error::Quota)
    }

    /// Charges a body that has come, or what has come of it.
    pub fn received(&self, caller: &Caller, bytes: u64) {
        if let Some(account) = account(caller) {
            account.correct(Measure::Bytes, bytes as f64, Instant::now());
        }
    }

    /// What is left of the quota of a caller's tenant that is nearest to its end.
    pub fn left(&self, caller: &Caller) -> Option<Left> {
        account(caller)?.left(Instant::now())
    }

    /// Admits rows under these tasks, all or none, and charges them.
    ///
    /// # Errors
    /// [`Error::Quota`], and when the engine has no room.
    pub(super) fn admit<'a>(
        &self,
        terms: &Terms,
        tasks: impl Iterator<Item = &'a Pinned> + Clone,
    ) -> Result<Vec<Place>, Error> {
        let (rows, flops) = (tasks.clone().count(), tasks.clone().map(|task| task.pack.flops).sum());
        let _span = tracing::debug_span!("admit", rows, flops).entered();
        let bill = self.bill(&terms.caller, rows, flops)?;
        let want = |task: &Pinned| Want { task: task.task.clone(), flops: task.pack.flops };
        let wants: Vec<Want> = tasks.clone().map(want).collect();
        let permits = self.shared.engine.admit_by(terms.share(), &wants, terms.deadline)?;
        let place = |(permit, task): (Permit, &Pinned)| {
            let meter = RowMeter {
                bill: Arc::clone(&bill),
                expected: task.pack.flops,
                usage: self.usage().clone(),
                metrics: Arc::clone(&self.shared.metrics),
                catalog: Arc::clone(&self.shared.catalog),
                task: task.task.clone(),
                billed: terms.caller.billed((!task.task.is_none()).then(|| task.task.shared())),
            };
            Place { permit, meter: Arc::new(meter), bill: Arc::clone(&bill) }
        };
        Ok(permits.into_iter().zip(tasks).map(place).collect())
    }

    fn bill(&self, caller: &Caller, rows: usize, flops: u64) -> Result<Arc<Bill>, Error> {
        let account = account(caller);
        let mut places = None;
        if let Some(account) = &account {
            places = Some(account.rows(rows).map_err(Error::Quota)?);
            let charges = [(Measure::Images, rows as f64), (Measure::Flops, flops as f64)];
            account.take(&charges, Instant::now()).map_err(Error::Quota)?;
        }
        Ok(Arc::new(Bill { account, images: (rows as u64).into(), flops: flops.into(), _rows: places }))
    }
}

fn account(caller: &Caller) -> Option<Arc<Account>> {
    caller.tenant().map(|tenant| Arc::clone(tenant.account()))
}

/// The right to have one row in flight, and who pays for it.
pub(super) struct Place {
    pub(super) permit: Permit,
    pub(super) meter: Arc<dyn Meter>,
    pub(super) bill: Arc<Bill>,
}

/// Puts the bill right for one row.
struct RowMeter {
    bill: Arc<Bill>,
    /// FLOPs that it was charged.
    expected: u64,
    usage: Usage,
    metrics: Arc<Metrics>,
    catalog: Arc<Catalog>,
    task: TaskId,
    billed: Billed,
}

impl Meter for RowMeter {
    fn ran(&self, cost: Cost) {
        self.bill.ran(self.expected, cost.flops);
        let Cost { flops, device } = cost;
        let task = self.billed.task.as_deref().unwrap_or(NO_TASK);
        self.metrics.requests.tasks.spent(task, flops);
        if !self.task.is_none() {
            forget_unpublished(&self.metrics, &self.catalog, &self.task);
        }
        self.usage.charge(&self.billed, &Charge { rows: 1, flops, device, ..Charge::default() });
    }
}

impl Bill {
    /// An image is being decoded for so many rows: they are not given back any more.
    pub(super) fn decodes(&self, rows: usize) {
        let rows = rows as u64;
        // What is left of them never falls below none.
        let _ = self
            .images
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(rows)));
    }

    /// A row has run that was expected to take `expected` FLOPs and took `spent`.
    fn ran(&self, expected: u64, spent: u64) {
        self.flops.fetch_sub(expected, Ordering::Relaxed);
        if let Some(account) = self.account.as_ref().filter(|_| expected != spent) {
            account.correct(Measure::Flops, spent as f64 - expected as f64, Instant::now());
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let Some(account) = &self.account else { return };
        let now = Instant::now();
        let unspent = [(Measure::Images, *self.images.get_mut()), (Measure::Flops, *self.flops.get_mut())];
        for (measure, amount) in unspent.into_iter().filter(|(_, amount)| *amount > 0) {
            account.correct(measure, -(amount as f64), now);
        }
    }
}
