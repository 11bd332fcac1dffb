//! The thread that makes programs, so that no request waits for one.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::batch::Batch;
use super::error::Error;
use super::programs::PlanTable;
use super::worker::Command;
use crate::backbone::BackboneConfig;
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{Program, Resident};

/// Plans to make ready, and where to report. Without a receiver they are a suggestion: all of them or none,
/// and never in
/// another program's place.
pub(super) struct Order {
    pub(super) plans: Vec<Plan>,
    pub(super) done: Option<oneshot::Sender<Result<(), Error>>>,
}

/// Everything compiling needs.
pub(super) struct Compiler {
    pub(super) resident: Resident,
    pub(super) plans: Arc<Mutex<PlanTable>>,
    pub(super) workers: Vec<Sender<Command>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Compiler {
    /// Fills orders until the last handle is gone.
    pub(super) fn run(self, orders: Receiver<Order>) {
        for order in orders {
            if order.done.is_none() && !self.lock().has_room(&order.plans) {
                continue;
            }
            let result = order.plans.iter().try_for_each(|plan| {
                let failed =
                    |error: &Error| tracing::error!(%plan, %error, "a program could not be compiled");
                self.install(*plan).inspect_err(failed)
            });
            if let Some(done) = order.done {
                // Whoever asked may have gone; the program stays useful.
                let _ = done.send(result);
            }
        }
    }

    fn install(&self, plan: Plan) -> Result<(), Error> {
        if self.lock().contains(&plan) {
            return Ok(());
        }
        for worker in &self.workers {
            let program = Box::new(self.compile(plan)?);
            // A worker that is gone needs no program.
            let _ = worker.send(Command::Install(plan, program));
        }
        let mut plans = self.lock();
        let leaving = plans.insert(plan);
        self.metrics.programs_resident.set((plans.len() * self.workers.len()) as i64);
        drop(plans);
        if let Some(leaving) = leaving {
            for worker in &self.workers {
                let _ = worker.send(Command::Drop(leaving));
            }
        }
        Ok(())
    }

    /// Compiles a plan and runs it once: a program that cannot run is found here, and the first request does
    /// not pay for first-time allocations.
    pub(super) fn compile(&self, plan: Plan) -> Result<Program, Error> {
        let mut program = self.resident.program(&plan)?;
        warm(&mut program, plan, self.resident.config())?;
        self.metrics.programs_compiled.inc();
        Ok(program)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PlanTable> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs one row of zeros without adapters.
fn warm(program: &mut Program, plan: Plan, config: &BackboneConfig) -> Result<(), Error> {
    let zeros = vec![0.0; config.input_shape(plan.blocks.start).iter().product()];
    let batch = Batch::without_adapters(&[&zeros], &plan, config);
    program.run(&batch.inputs()).map(drop).map_err(Error::from)
}
