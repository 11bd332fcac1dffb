//! A device with what its workers share: the weights, and the bank of packs.

use std::sync::Arc;

use super::bank::Bank;
use super::batch::{Batch, BatchRow, Laid};
use super::error::Error;
use super::health::Health;
use super::pixels::Entering;
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{DeviceMemory, Program, Resident};

/// One of the engine's devices.
pub(super) struct Lane {
    resident: Resident,
    bank: Option<Arc<Bank>>,
    health: Health,
}

impl Lane {
    /// A device whose bank has so many bytes for so many workers; without bytes each batch brings its packs along.
    pub(super) fn new(
        resident: Resident,
        (bank_memory, workers): (u64, usize),
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Error> {
        let bank = match bank_memory {
            0 => None,
            bytes => {
                let (memory, config) = (DeviceMemory::of(resident.runtime())?, Arc::clone(resident.config()));
                Some(Arc::new(Bank::new(memory, config, (bytes, workers), Arc::clone(metrics))))
            }
        };
        Ok(Self { resident, bank, health: Health::default() })
    }

    /// The weights.
    pub(super) fn resident(&self) -> &Resident {
        &self.resident
    }

    /// Where programs read packs' tensors, if they do.
    pub(super) fn bank(&self) -> Option<Arc<Bank>> {
        self.bank.clone()
    }

    /// Whether it answers.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Compiles a plan and runs it once: a program that cannot run is found here, and the first request does not pay for
    /// first-time allocations.
    pub(super) fn compile(&self, plan: Plan) -> Result<Program, Error> {
        let mut program = self.resident.serving_program(&plan, self.bank.is_some())?;
        self.warm(&mut program, plan)?;
        Ok(program)
    }

    /// Runs one row of zeros without a pack.
    pub(super) fn warm(&self, program: &mut Program, plan: Plan) -> Result<(), Error> {
        let config = self.resident.config();
        let zeros = vec![0.0; config.input_shape(plan.blocks.start).iter().product()];
        let row = [BatchRow::bare(Entering::Values(&zeros))];
        let batch = match &self.bank {
            Some(bank) => {
                let banked = bank.take(&[None], plan.modules)?.ok_or(Error::BankFull)?;
                Batch::banked(&row, &plan, config, (banked, Laid::default()))
            }
            None => Batch::assemble(&row, &plan, config, Laid::default()),
        };
        program.run_beside(&batch.inputs(), &batch.held()).map(drop).map_err(Error::from)
    }
}
