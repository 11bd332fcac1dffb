//! A device with what its workers share: the weights, and the bank of packs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bank::Bank;
use super::batch::{Batch, BatchRow, Laid};
use super::error::Error;
use super::pixels::{Entering, Samples};
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{self, DeviceMemory, Program, Resident};

/// One of the engine's devices.
pub(super) struct Lane {
    resident: Resident,
    bank: Option<Arc<Bank>>,
    /// Runs that are to fail, for tests.
    faults: AtomicU32,
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
        Ok(Self { resident, bank, faults: AtomicU32::new(0) })
    }

    /// The weights.
    pub(super) fn resident(&self) -> &Resident {
        &self.resident
    }

    /// Where programs read packs' tensors, if they do.
    pub(super) fn bank(&self) -> Option<Arc<Bank>> {
        self.bank.clone()
    }

    /// Lets the next so many runs fail.
    pub(super) fn break_for(&self, runs: u32) {
        self.faults.store(runs, Ordering::Relaxed);
    }

    /// What a run fails with that is to fail.
    pub(super) fn fault(&self) -> Result<(), Error> {
        let one_less = |runs: u32| runs.checked_sub(1);
        match self.faults.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => {
                let (action, reason) = ("run".into(), "the device was broken by a test".into());
                Err(runtime::Error::Call { action, reason }.into())
            }
            Err(_) => Ok(()),
        }
    }

    /// Compiles a plan and runs it once: a program that cannot run is found here, and the first request does not pay for
    /// first-time allocations.
    pub(super) fn compile(&self, plan: Plan) -> Result<Program, Error> {
        let mut program = self.resident.serving_program(&plan, self.bank.is_some())?;
        self.warm(&mut program, plan)?;
        Ok(program)
    }

    /// Runs one row of zeros without a pack: an image's samples at the first block.
    pub(super) fn warm(&self, program: &mut Program, plan: Plan) -> Result<(), Error> {
        self.fault()?;
        let config = self.resident.config();
        let size = config.input_shape(plan.blocks.start).iter().product();
        let (mean, std) = (config.preprocessing.mean, config.preprocessing.std);
        let (zeros, samples) = (vec![0.0; size], Samples { levels: vec![0; size].into(), mean, std });
        let entering = match plan.blocks.start {
            0 => Entering::Samples(&samples),
            _ => Entering::Values(&zeros),
        };
        let row = [BatchRow::bare(entering)];
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
