//! From rows to features: whole, or cut where rows of one image part ways.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::batch::{Batch, BatchRow};
use super::fork::{Branch, Costs, Fork, Layout, layout};
use super::inbox::Row;
use super::prefixes::Prefixes;
use super::programs::PlanTable;
use crate::backbone::{BackboneConfig, SiteSet};
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::Program;

/// A worker's programs, and what it needs to choose among them.
pub(super) struct Runner {
    pub(super) plans: Arc<Mutex<PlanTable>>,
    pub(super) covering: Plan,
    pub(super) programs: HashMap<Plan, Program>,
    pub(super) config: Arc<BackboneConfig>,
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) costs: Costs,
    pub(super) metrics: Arc<Metrics>,
}

impl Runner {
    /// Keeps a program.
    pub(super) fn install(&mut self, plan: Plan, program: Program) {
        self.programs.insert(plan, program);
    }

    /// Drops a program.
    pub(super) fn drop_program(&mut self, plan: &Plan) {
        self.programs.remove(plan);
    }

    /// Pooled feature of each row.
    pub(super) fn features(&mut self, rows: &[&Row]) -> Result<Vec<Vec<f32>>, Error> {
        let images = images(rows);
        let layout = self.layout(rows, &images);
        let mut features = vec![Vec::new(); rows.len()];
        if !layout.whole.is_empty() {
            let own: Vec<&Row> = layout.whole.iter().map(|&row| rows[row]).collect();
            let sites = own.iter().fold(SiteSet::EMPTY, |sites, row| sites.union(row.pack.sites));
            let plan = self.whole(sites);
            let values: Vec<BatchRow<'_>> =
                own.iter().map(|row| BatchRow { values: &row.pixels, pack: &row.pack }).collect();
            let made = self.execute(&plan, &Batch::assemble(&values, &plan, &self.config))?;
            layout.whole.iter().zip(made).for_each(|(&row, feature)| features[row] = feature);
        }
        if let Some(Fork { cut, rows: own }) = layout.fork {
            self.metrics.rows_forked.inc_by(own.len() as u64);
            let below = self.below(cut, rows, (&own, &images))?;
            let made = self.above(cut, rows, (&own, &below))?;
            own.iter().zip(made).for_each(|(&row, feature)| features[row] = feature);
        }
        Ok(features)
    }

    /// How the rows run on the programs that are here.
    fn layout(&self, rows: &[&Row], images: &[usize]) -> Layout {
        let depth = self.config.depth();
        let lowest = |row: &Row| row.pack.sites.lowest_block().unwrap_or(depth);
        let branches: Vec<Branch> = rows
            .iter()
            .zip(images)
            .map(|(row, &image)| Branch { image, lowest: lowest(row), keeps: row.image.is_some() })
            .collect();
        let installed = |plan: &Plan| self.programs.contains_key(plan);
        let cuts = (1..depth)
            .filter(|&cut| installed(&Plan::below(cut)) && installed(&Plan::above(&self.config, cut)));
        // After the last block only heads differ, which needs no program of its own.
        let cuts: Vec<usize> = cuts.chain([depth]).collect();
        layout(&branches, &self.costs, &cuts, |image, cut| {
            rows[image].image.is_some_and(|key| self.prefixes.holds(key, cut))
        })
    }

    /// The best installed plan of all blocks for `sites`.
    fn whole(&self, sites: SiteSet) -> Plan {
        let plan = self.plans.lock().unwrap_or_else(PoisonError::into_inner).choose(sites);
        // The table is shared by the workers; this one may not have been handed the program yet.
        if self.programs.contains_key(&plan) { plan } else { self.covering }
    }

    /// What lies below the cut for each row of `own`: kept, or run once an image.
    fn below(
        &mut self,
        cut: usize,
        rows: &[&Row],
        (own, images): (&[usize], &[usize]),
    ) -> Result<Vec<Arc<[f32]>>, Error> {
        let mut found: BTreeMap<usize, Arc<[f32]>> = BTreeMap::new();
        let distinct: BTreeSet<usize> = own.iter().map(|&row| images[row]).collect();
        for &image in &distinct {
            let kept = rows[image].image.and_then(|key| self.prefixes.get(key, cut));
            found.extend(kept.map(|row| (image, row)));
        }
        let missing: Vec<usize> = distinct.into_iter().filter(|image| !found.contains_key(image)).collect();
        if !missing.is_empty() {
            let plan = if cut == self.config.depth() { self.whole(SiteSet::EMPTY) } else { Plan::below(cut) };
            let pixels: Vec<&[f32]> = missing.iter().map(|&image| &*rows[image].pixels).collect();
            let made = self.execute(&plan, &Batch::without_adapters(&pixels, &plan, &self.config))?;
            for (image, row) in missing.into_iter().zip(made) {
                let row: Arc<[f32]> = row.into();
                if let Some(key) = rows[image].image {
                    self.prefixes.put(key, cut, Arc::clone(&row));
                }
                found.insert(image, row);
            }
        }
        own.iter().map(|row| found.get(&images[*row]).cloned().ok_or(Error::WorkerLost)).collect()
    }

    /// Features of rows of which `below` is known up to the cut.
    fn above(
        &mut self,
        cut: usize,
        rows: &[&Row],
        (own, below): (&[usize], &[Arc<[f32]>]),
    ) -> Result<Vec<Vec<f32>>, Error> {
        if cut == self.config.depth() {
            return Ok(below.iter().map(|row| row.to_vec()).collect());
        }
        let plan = Plan::above(&self.config, cut);
        let values: Vec<BatchRow<'_>> =
            own.iter().zip(below).map(|(&row, values)| BatchRow { values, pack: &rows[row].pack }).collect();
        self.execute(&plan, &Batch::assemble(&values, &plan, &self.config))
    }

    /// Runs a batch and takes its output apart by rows.
    fn execute(&mut self, plan: &Plan, batch: &Batch<'_>) -> Result<Vec<Vec<f32>>, Error> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).touch(plan);
        let program = self.programs.get_mut(plan).ok_or(Error::WorkerLost)?;
        let output = program.run(&batch.inputs())?.pop().ok_or(Error::WorkerLost)?;
        let rows = output.shape.first().copied().unwrap_or(1).max(1);
        let size = (output.data.len() / rows).max(1);
        Ok(output.data.chunks_exact(size).map(<[f32]>::to_vec).collect())
    }
}

/// For each row the first one of its image.
fn images(rows: &[&Row]) -> Vec<usize> {
    let first = |row: &&Row| rows.iter().position(|other| other.shares_image(row)).unwrap_or(0);
    rows.iter().map(first).collect()
}
