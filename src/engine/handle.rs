//! The engine's handle.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::admission::Ask;
use super::canvas::{Canvas, Canvases};
use super::compiler::Order;
use super::error::Error;
use super::fork::Costs;
use super::inbox::{Inbox, Permit};
use super::lane::Lane;
use super::load::Want;
use super::programs::PlanTable;
use super::reply::{Head, Reply};
use super::row::{Row, Share};
use super::threads::Threads;
use crate::backbone::{BackboneConfig, ModuleSet, Precision};
use crate::graph::Plan;
use crate::runtime::Device;

/// Handle of the engine. Cheap to clone; when the last clone goes, the rows already admitted are served, then
/// the threads end.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) inbox: Arc<Inbox>,
    pub(super) orders: Mutex<Option<Sender<Order>>>,
    pub(super) threads: Threads,
    pub(super) config: Arc<BackboneConfig>,
    pub(super) precision: Precision,
    pub(super) devices: Vec<Device>,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) canvases: Arc<Canvases>,
    pub(super) costs: Costs,
    pub(super) plans: Arc<Mutex<PlanTable>>,
    /// What is covered without asking.
    pub(super) adapters: ModuleSet,
}

impl Engine {
    /// Whether `rows` rows of somebody who holds none would be admitted now; cheap, and holds no place while a body is
    /// coming.
    ///
    /// # Errors
    /// As [`Engine::admit`].
    pub fn room(&self, rows: usize) -> Result<(), Error> {
        self.shared.inbox.room(rows)
    }

    /// Admits `rows` rows, all or none, before anything is spent on them. A flow leaves places to others: see
    /// `docs/operating.md`.
    ///
    /// # Errors
    /// [`Error::Overloaded`], [`Error::Full`], [`Error::Crowded`], [`Error::NeverFits`], [`Error::NoDevice`],
    /// [`Error::ShuttingDown`].
    pub fn admit(&self, share: Share, rows: usize) -> Result<Vec<Permit>, Error> {
        let ask = Ask { share, rows, wants: &[], deadline: None };
        self.shared.inbox.admit(ask, Instant::now())
    }

    /// As [`Engine::admit`], of rows whose tasks and cost are known. What would have its turn after the deadline is
    /// refused, once it was measured how fast this machine is.
    ///
    /// # Errors
    /// As [`Engine::admit`], and [`Error::TooLate`].
    pub fn admit_by(&self, share: Share, wants: &[Want], deadline: Instant) -> Result<Vec<Permit>, Error> {
        let ask = Ask { share, rows: wants.len(), wants, deadline: Some(deadline) };
        self.shared.inbox.admit(ask, Instant::now())
    }

    /// A canvas for an image. It is used again once nothing reads the image.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn canvas(&self) -> Result<Canvas, Error> {
        self.shared.canvases.take()
    }

    /// Admits one row of [`Share::INTERNAL`] beyond the limit, for a check that admitted rows wait for. The caller
    /// bounds how many.
    ///
    /// # Errors
    /// [`Error::NoDevice`], [`Error::ShuttingDown`].
    pub fn admit_beside(&self) -> Result<Permit, Error> {
        self.shared.inbox.admit_beside()
    }

    /// Queues an admitted row. The reply gives the answer, or fails with the worker that did. A row whose
    /// modules no program covers yet (see [`Engine::cover`]) fails at once, and alone.
    pub fn submit(&self, row: Row, permit: Permit) -> Reply {
        if !self.covers(row.pack.modules) {
            let (reply, receiver) = oneshot::channel();
            // The receiver is here.
            let plan = Plan::whole(&self.shared.config, row.pack.modules);
            let _ = reply.send(Err(Error::NoProgram(Box::new(plan))));
            return Reply::new(receiver, Head::of(&row));
        }
        self.shared.inbox.submit(row, permit)
    }

    /// Makes sure that rows with `modules` run beside rows of every other pack, which takes a wider program where a form
    /// is new. The receiver learns when they do. Rows submitted before fail.
    pub fn cover(&self, modules: ModuleSet) -> oneshot::Receiver<Result<(), Error>> {
        let (done, receiver) = oneshot::channel();
        if self.covers(modules) {
            // The receiver is here.
            let _ = done.send(Ok(()));
        } else {
            self.order(Order { covered: modules, plans: Vec::new(), done: Some(done) });
        }
        receiver
    }

    /// Compiles a program for exactly `modules`, off the request path, after one that covers them. The receiver learns
    /// when it is installed. The least recently used program makes room.
    pub fn prepare(&self, modules: ModuleSet) -> oneshot::Receiver<Result<(), Error>> {
        if modules.reads_depths() {
            // All depths have one program, and no row has another beside it.
            return self.cover(modules);
        }
        let (done, receiver) = oneshot::channel();
        let plans = vec![Plan::whole(&self.shared.config, modules)];
        self.order(Order { covered: modules, plans, done: Some(done) });
        self.suggest_cut(modules);
        receiver
    }

    /// Like [`Engine::prepare`], but only while there is room: thousands of cold tasks must not evict each other's
    /// programs.
    pub fn suggest(&self, modules: ModuleSet) {
        if modules.reads_depths() {
            return;
        }
        self.order(Order::suggestion(vec![Plan::whole(&self.shared.config, modules)]));
        self.suggest_cut(modules);
    }

    /// Suggests the two programs by which rows of one image share the blocks below a pack's lowest module.
    fn suggest_cut(&self, modules: ModuleSet) {
        if let Some(cut) = modules.lowest_block().filter(|&cut| cut > 0) {
            let covered = self.plans().covering().modules.union(modules);
            let above = Plan::above(&self.shared.config, cut, covered);
            self.order(Order::suggestion(vec![Plan::below(cut), above]));
        }
    }

    fn covers(&self, modules: ModuleSet) -> bool {
        modules.is_subset(self.shared.adapters) || self.plans().covers(modules)
    }

    fn plans(&self) -> MutexGuard<'_, PlanTable> {
        self.shared.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) {
        let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = orders.as_ref() {
            // If the compiler is gone, the receiver learns it from the dropped sender.
            let _ = orders.send(order);
        }
    }

    /// Whether some device answers. Where none does, nothing is admitted until a trial succeeds.
    pub fn answers(&self) -> bool {
        self.shared.inbox.answers()
    }

    /// Lets the next so many runs of a device fail as ONNX Runtime fails, by its place in [`Engine::devices`]. For tests.
    #[doc(hidden)]
    pub fn break_device(&self, device: usize, runs: u32) {
        if let Some(lane) = self.shared.lanes.get(device) {
            lane.break_for(runs);
        }
    }

    /// Admits no more rows and waits until every admitted row is answered and the threads have ended.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// What the backbone multiplies in.
    pub fn precision(&self) -> Precision {
        self.shared.precision
    }

    /// Where it runs.
    pub fn devices(&self) -> &[Device] {
        &self.shared.devices
    }

    /// FLOPs of one row without modules before each block, and of all blocks.
    pub fn flops_before(&self) -> &[u64] {
        self.shared.costs.all()
    }

    /// The backbone the engine runs.
    pub fn config(&self) -> &Arc<BackboneConfig> {
        &self.shared.config
    }
}

impl Shared {
    fn stop(&self) {
        self.inbox.close();
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.threads.join();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}
