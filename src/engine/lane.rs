//! A device with what its workers share: the weights, and the bank of packs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bank::Bank;
use super::batch::{Batch, BatchRow, Laid};
use super::canvas::Canvases;
use super::error::Error;
use super::options::EngineOptions;
use super::pixels::{Entering, Samples};
use super::replays::Replays;
use super::states::States;
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{self, DeviceMemory, HostMemory, Program, Resident};

/// A plan's programs.
pub(super) struct Compiled {
    /// What runs any batch.
    pub(super) program: Program,
    /// What runs small ones, if they are replayed.
    pub(super) replayed: Option<Program>,
}

/// One of the engine's devices.
pub(super) struct Lane {
    resident: Resident,
    bank: Option<Arc<Bank>>,
    states: Option<Arc<States>>,
    host: Arc<HostMemory>,
    memory: Mutex<DeviceMemory>,
    /// Most rows of a batch that is replayed.
    replayed_rows: usize,
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
        let device = DeviceMemory::of(resident.runtime())?;
        let memory = |is_wanted: bool| is_wanted.then(|| device.beside()).transpose();
        let (config, metrics) = (resident.config(), || Arc::clone(metrics));
        let bank = memory(bank_memory > 0)?
            .map(|memory| Bank::new(memory, Arc::clone(config), (bank_memory, workers), metrics()));
        let states = memory(states_memory.is_some())?.zip(states_memory);
        let states = states
            .map(|(memory, bytes)| States::new(memory, Arc::clone(config), (bytes, options), metrics()));
        let (bank, states) = (bank.map(Arc::new), states.map(Arc::new));
        let host = Arc::new(device.host());
        let (replayed_rows, memory) = (options.replayed_rows, Mutex::new(device));
        Ok(Self { resident, bank, states, host, memory, replayed_rows, faults: AtomicU32::new(0) })
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

    /// Memory that images are decoded to.
    pub(super) fn canvases(&self) -> Canvases {
        Canvases::new(&self.host, self.resident.config().image_size())
    }

    /// Memory to lay batches out in.
    pub(super) fn laid(&self) -> Laid {
        Laid::new(&self.host)
    }

    /// A worker's way to have small batches replayed, if they are.
    pub(super) fn replays(&self, metrics: &Arc<Metrics>) -> Result<Option<Replays>, Error> {
        match self.replayed_rows {
            0 => Ok(None),
            most => {
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).beside()?;
                Ok(Some(Replays::new(memory, most, Arc::clone(metrics))))
            }
        }
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
    pub(super) fn compile(&self, plan: Plan) -> Result<Compiled, Error> {
        let mut program = self.resident.serving_program(&plan, self.bank.is_some())?;
        self.warm(&mut program, plan)?;
        Ok(Compiled { program, replayed: self.replayed(plan) })
    }

    /// The plan's program for small batches, where they are replayed and it can be. It first runs on the thread that its graphs
    /// belong to.
    fn replayed(&self, plan: Plan) -> Option<Program> {
        if self.replayed_rows == 0 || self.bank.is_none() {
            return None;
        }
        let made = self.resident.replayed_program(&plan);
        let failed =
            |error: &runtime::Error| tracing::warn!(%plan, %error, "its small batches are not replayed");
        made.inspect_err(failed).ok().flatten()
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
                Batch::banked(&row, &plan, config, (banked, self.laid()))?
            }
            None => Batch::assemble(&row, &plan, config, self.laid())?,
        };
        program.run_beside(&batch.inputs(), &batch.held()).map(drop).map_err(Error::from)
    }
}
