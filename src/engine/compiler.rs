//! The thread that makes programs, so that no request waits for one.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::error::Error;
use super::health::{Health, is_of_device};
use super::inbox::Inbox;
use super::lane::{Compiled, Lane};
use super::programs::{PlanTable, plan_apart};
use super::worker::Command;
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::graph::Plan;
use crate::metrics::Metrics;

/// Plans to make ready, and where to report. Without a receiver they are a suggestion: all of them or none,
/// and never in another program's place.
pub(super) struct Order {
    /// What must be covered by one program of all blocks; compiled first.
    pub(super) covered: ModuleSet,
    pub(super) plans: Vec<Plan>,
    pub(super) done: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Order {
    /// Plans of use, but of no need.
    pub(super) fn suggestion(plans: Vec<Plan>) -> Self {
        Self { covered: ModuleSet::EMPTY, plans, done: None }
    }
}

/// A worker as the compiler knows it.
pub(super) struct Seat {
    pub(super) lane: Arc<Lane>,
    /// Which of the engine's devices that is.
    pub(super) device: usize,
    pub(super) commands: Sender<Command>,
}

/// Everything compiling needs.
pub(super) struct Compiler {
    pub(super) config: Arc<BackboneConfig>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) plans: Arc<Mutex<PlanTable>>,
    pub(super) seats: Vec<Seat>,
    pub(super) metrics: Arc<Metrics>,
}

impl Compiler {
    /// Fills orders until the last handle is gone.
    pub(super) fn run(self, orders: Receiver<Order>) {
        for order in orders {
            if order.done.is_none() && !self.lock().has_room(&order.plans) {
                continue;
            }
            // Nobody waits any more: a request that still needs it asks again.
            if order.done.as_ref().is_some_and(oneshot::Sender::is_closed) {
                continue;
            }
            let result = self.fill(&order);
            if let Some(done) = order.done {
                // Whoever asked may have gone; the program stays useful.
                let _ = done.send(result);
            }
        }
    }

    fn fill(&self, order: &Order) -> Result<(), Error> {
        self.cover(order.covered)?;
        order.plans.iter().try_for_each(|plan| self.install(*plan))
    }

    /// Makes sure that some program runs rows with `modules` beside any others that were asked for.
    fn cover(&self, modules: ModuleSet) -> Result<(), Error> {
        if self.lock().covers(modules) {
            return Ok(());
        }
        let (config, covering) = (&self.config, self.lock().covering());
        if let Some(plan) = plan_apart(config, modules) {
            self.hand_out(plan, true)?;
            self.lock().keep_apart(plan);
            self.settle(None);
            return Ok(());
        }
        let wider = covering.modules.union(config.spread(modules, config.blocks()));
        let plan = Plan { modules: wider, ..covering };
        self.hand_out(plan, true)?;
        let leaving = self.lock().cover(plan);
        self.settle(leaving);
        tracing::info!(%plan, "rows of every published form run together");
        Ok(())
    }

    fn install(&self, plan: Plan) -> Result<(), Error> {
        if self.lock().contains(&plan) {
            return Ok(());
        }
        self.hand_out(plan, false)?;
        let leaving = self.lock().insert(plan);
        self.settle(leaving);
        Ok(())
    }

    /// Compiles a plan for every worker; says whether rows need it.
    fn hand_out(&self, plan: Plan, covers: bool) -> Result<(), Error> {
        // All or none: a worker must not keep a program that the table does not know.
        let programs =
            self.seats.iter().map(|seat| self.compile(seat, plan, covers)).collect::<Result<Vec<_>, _>>();
        let failed = |error: &Error| tracing::error!(%plan, %error, "a program could not be compiled");
        for (seat, program) in self.seats.iter().zip(programs.inspect_err(failed)?) {
            // A worker that is gone needs no program.
            if let Some(program) = program {
                let _ = seat.commands.send(Command::Install(plan, Box::new(program)));
            }
        }
        Ok(())
    }

    /// Takes from the workers what left the table.
    fn settle(&self, leaving: Option<Plan>) {
        let resident = self.lock().len() * self.seats.len();
        self.metrics.engine.programs_resident.set(resident as i64);
        for (seat, leaving) in self.seats.iter().zip(leaving.into_iter().cycle()) {
            let _ = seat.commands.send(Command::Drop(leaving));
        }
    }

    /// A program of a plan on a worker's device; none on one that is out, which keeps no other from what it needs.
    fn compile(&self, seat: &Seat, plan: Plan, covers: bool) -> Result<Option<Compiled>, Error> {
        if self.inbox.goes_without(seat.device, covers) {
            return Ok(None);
        }
        let doubt = |error: &Error| {
            if is_of_device(error) {
                self.inbox.note_device(seat.device, Health::doubt);
            }
        };
        let program = seat.lane.compile(plan).inspect_err(doubt)?;
        self.metrics.engine.programs_compiled.inc();
        Ok(Some(program))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PlanTable> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
