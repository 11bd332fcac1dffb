//! A device with what its workers share: the weights, and the bank of packs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bank::Bank;
use super::batch::{Batch, BatchRow, Laid};
use super::error::Error;
use super::options::EngineOptions;
use super::pixels::{Entering, Samples};
use super::states::States;
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{self, DeviceMemory, Program, Resident};

/// One of the engine's devices.
pub(super) struct Lane {
    resident: Resident,
    bank: Option<Arc<Bank>>,
    states: Option<Arc<States>>,
    /// Runs that are to fail, for tests.
    faults: AtomicU32,
}

impl Lane {
    /// A device with a bank and states of so many bytes; without bytes each batch brings its packs, or its states, along.
    pub(super) fn new(
        resident: Resident,
        options: &EngineOptions,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Error> {
        let EngineOptions { bank_memory, states_memory, workers, .. } = *options;
        let memory = |is_wanted: bool| is_wanted.then(|| DeviceMemory::of(resident.runtime())).transpose();
        let (config, metrics) = (resident.config(), || Arc::clone(metrics));
        let bank = memory(bank_memory > 0)?
            .map(|memory| Bank::new(memory, Arc::clone(config), (bank_memory, workers), metrics()));
        let states = memory(states_memory.is_some())?.zip(states_memory);
        let states = states
            .map(|(memory, bytes)| States::new(memory, Arc::clone(config), (bytes, options), metrics()));
        let (bank, states) = (bank.map(Arc::new), states.map(Arc::new));
        Ok(Self { resident, bank, states, faults: AtomicU32::new(0) })
    }

    /// The weights.
    pub(super) fn resident(&self) -> &Resident {
        &self.resident
    }

    /// Where programs read packs' tensors, if they do.
    pub(super) fn bank(&self) -> Option<Arc<Bank>> {
        self.bank.clone()
    }

    /// Where outputs of frozen blocks stay, if they stay on the device.
    pub(super) fn states(&self) -> Option<Arc<States>> {
        self.states.clone()
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
