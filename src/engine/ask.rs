//! From the rows of a batch to what a program gives for each, by way of the bank where there is one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::bank::{self, Bank};
use super::batch::{Batch, BatchRow, samples_first};
use super::error::Error;
use super::lane::Compiled;
use super::replays::Replays;
use super::run::Runner;
use crate::backbone::ModuleSet;
use crate::graph::Plan;
use crate::pack::Pack;
use crate::runtime::{DeviceTensor, Program};

impl Runner {
    /// Runs a row of zeros.
    pub(super) fn try_device(&mut self) -> Result<(), Error> {
        let plan = self.choose(self.config.blocks(), ModuleSet::EMPTY)?;
        let compiled = self.programs.get_mut(&plan).ok_or_else(|| Error::NoProgram(Box::new(plan)))?;
        self.lane.warm(&mut compiled.program, plan)
    }

    /// One piece of output for each row, of which all together cost so much.
    pub(super) fn ask(
        &mut self,
        plan: &Plan,
        rows: &[BatchRow<'_>],
        cost: u64,
    ) -> Result<Vec<Vec<f32>>, Error> {
        if let Some(order) = samples_first(rows) {
            let own: Vec<BatchRow<'_>> = order.iter().map(|&index| rows[index]).collect();
            let (mut made, own) = (vec![Vec::new(); rows.len()], self.ask(plan, &own, cost)?);
            order.into_iter().zip(own).for_each(|(index, feature)| made[index] = feature);
            return Ok(made);
        }
        let config = Arc::clone(&self.config);
        let Some(bank) = self.lane.bank() else {
            let batch = Batch::assemble(rows, plan, &config, self.take_laid())?;
            return self.execute(plan, batch, cost);
        };
        let mut companies: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            companies.entry(bank::company(row.pack)).or_default().push(index);
        }
        if companies.len() < 2 {
            return self.ask_bank(&bank, plan, rows, cost);
        }
        let (mut made, mut cost) = (vec![Vec::new(); rows.len()], cost);
        for company in companies.into_values() {
            let own: Vec<BatchRow<'_>> = company.iter().map(|&index| rows[index]).collect();
            let features = self.ask_bank(&bank, plan, &own, std::mem::take(&mut cost))?;
            company.into_iter().zip(features).for_each(|(index, feature)| made[index] = feature);
        }
        Ok(made)
    }

    /// As [`Self::ask`], of rows that may read one shelf of the bank. Where a worker may not read so many packs at once, the
    /// halves run one after the other.
    fn ask_bank(
        &mut self,
        bank: &Bank,
        plan: &Plan,
        rows: &[BatchRow<'_>],
        cost: u64,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let config = Arc::clone(&self.config);
        let packs: Vec<Option<&Arc<Pack>>> = rows.iter().map(|row| row.pack).collect();
        match bank.take(&packs, plan.modules)? {
            Some(banked) => {
                let laid = self.take_laid();
                self.execute(plan, Batch::banked(rows, plan, &config, (banked, laid))?, cost)
            }
            None if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                let mut made = self.ask_bank(bank, plan, first, cost)?;
                made.extend(self.ask_bank(bank, plan, second, 0)?);
                Ok(made)
            }
            None => Err(Error::BankFull),
        }
    }

    /// Runs rows without packs, those with samples first, and leaves what comes of them in entries of a tensor on the device.
    pub(super) fn ask_into(
        &mut self,
        plan: &Plan,
        (rows, cost): (&[BatchRow<'_>], u64),
        place: (&DeviceTensor, Range<usize>),
    ) -> Result<(), Error> {
        let config = Arc::clone(&self.config);
        let batch = Batch::assemble(rows, plan, &config, self.take_laid())?;
        let (tensor, entries) = &place;
        let replay = |replays: &mut Replays, program: &mut Program| {
            replays.run_to((program, &batch), (tensor, entries))
        };
        let run = |program: &mut Program| {
            Ok(program.run_to((&batch.inputs(), &batch.held()), (tensor, entries.clone()))?)
        };
        self.run(plan, &batch, replay, run)?;
        self.laid = Some(batch.into_laid());
        self.ran += cost;
        Ok(())
    }

    /// The programs of a plan, which is used now.
    fn program(&mut self, plan: &Plan) -> Result<&mut Compiled, Error> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).touch(plan);
        self.lane.fault()?;
        self.programs.get_mut(plan).ok_or_else(|| Error::NoProgram(Box::new(*plan)))
    }

    /// Runs a batch on a plan's programs: by `replay` where it is small and need not wait, else by `run`. A program that could not
    /// be replayed is dropped.
    fn run<T>(
        &mut self,
        plan: &Plan,
        batch: &Batch<'_>,
        replay: impl FnOnce(&mut Replays, &mut Program) -> Result<Option<T>, Error>,
        run: impl FnOnce(&mut Program) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut replays = self.replays.take();
        let taking = replays.as_mut().filter(|replays| replays.takes(batch));
        let made = self.program(plan).and_then(|compiled| {
            if let Some((replays, program)) = taking.zip(compiled.replayed.as_mut()) {
                match replay(replays, program) {
                    Ok(Some(made)) => return Ok(made),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%plan, %error, "its small batches are replayed no more");
                        compiled.replayed = None;
                    }
                }
            }
            run(&mut compiled.program)
        });
        self.replays = replays;
        made
    }

    /// Runs a batch that costs so much and takes its output apart: one piece for each of its rows.
    fn execute(&mut self, plan: &Plan, batch: Batch<'_>, cost: u64) -> Result<Vec<Vec<f32>>, Error> {
        let output = self.run(
            plan,
            &batch,
            |replays, program| Ok(replays.run(program, &batch)?.map(Some)),
            |program| Ok(program.run_beside(&batch.inputs(), &batch.held())?.pop()),
        )?;
        let found = output.as_ref().and_then(|output| output.shape.first().copied()).unwrap_or(0);
        let expected = batch.rows();
        self.laid = Some(batch.into_laid());
        match output {
            Some(output) if found == expected => {
                self.ran += cost;
                let size = (output.data.len() / expected).max(1);
                Ok(output.data.chunks_exact(size).map(<[f32]>::to_vec).collect())
            }
            _ => Err(Error::Rows { plan: Box::new(*plan), found, expected }),
        }
    }
}
