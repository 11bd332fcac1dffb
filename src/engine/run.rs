//! From rows to features: whole, or cut where rows of one image part ways.
//!
//! A row costs what its own plan asks of the blocks that ran for it. What a program computes beyond that, for wider
//! modules of other rows or at places where the row has none, counts as nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use super::batch::{BatchRow, Laid};
use super::depths::reading;
use super::error::Error;
use super::fork::{Branch, Costs, Fork, Layout, layout, parts};
use super::lane::{Compiled, Lane};
use super::prefixes::{Known, Prefixes};
use super::programs::PlanTable;
use super::replays::Replays;
use super::row::{Row, SharedBlocks, firsts};
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::pack::Pack;

/// A worker's programs, and what it needs to choose among them.
pub(super) struct Runner {
    pub(super) plans: Arc<Mutex<PlanTable>>,
    pub(super) programs: HashMap<Plan, Compiled>,
    pub(super) config: Arc<BackboneConfig>,
    pub(super) prefixes: Arc<Prefixes>,
    /// The device. Where it has a bank, programs read packs' tensors there; else each batch brings them along.
    pub(super) lane: Arc<Lane>,
    /// What the next batch is laid out in; none after one that failed.
    pub(super) laid: Option<Laid>,
    /// How small batches are replayed, if they are.
    pub(super) replays: Option<Replays>,
    pub(super) costs: Costs,
    pub(super) metrics: Arc<Metrics>,
    /// FLOPs that programs ran for the batch at hand, as [`Self::ask`] and [`Self::ask_into`] count them.
    pub(super) ran: u64,
}

impl Runner {
    /// Keeps a plan's programs.
    pub(super) fn install(&mut self, plan: Plan, compiled: Compiled) {
        self.programs.insert(plan, compiled);
    }

    /// Drops them.
    pub(super) fn drop_program(&mut self, plan: &Plan) {
        self.programs.remove(plan);
    }

    /// Memory to lay a batch out in.
    pub(super) fn take_laid(&mut self) -> Laid {
        self.laid.take().unwrap_or_else(|| self.lane.laid())
    }

    /// What each row's head reads, and what it cost.
    pub(super) fn features(&mut self, rows: &[&Row]) -> Result<Vec<Feature>, Error> {
        self.ran = 0;
        let images = firsts(rows);
        let is_kept =
            |row: &Row| Known::of(row).is_some_and(|key| self.prefixes.holds(key, self.config.depth()));
        let reading = reading(rows, &images, is_kept);
        if reading.is_empty() {
            return self.pooled(rows, &images);
        }
        let mut features = vec![Feature::default(); rows.len()];
        let others: Vec<usize> = (0..rows.len()).filter(|row| !reading.contains(row)).collect();
        let fork = Fork { cut: self.config.behind_pooling(), rows: reading };
        let made = self.forked(&fork, rows, &images)?;
        fork.rows.iter().zip(made).for_each(|(&row, feature)| features[row] = feature);
        if !others.is_empty() {
            let own: Vec<&Row> = others.iter().map(|&row| rows[row]).collect();
            let made = self.pooled(&own, &firsts(&own))?;
            others.into_iter().zip(made).for_each(|(row, feature)| features[row] = feature);
        }
        Ok(features)
    }

    /// As [`Self::features`], of rows that read no depths.
    fn pooled(&mut self, rows: &[&Row], images: &[usize]) -> Result<Vec<Feature>, Error> {
        let Layout { whole, fork } = self.layout(rows, images);
        let mut features = vec![Feature::default(); rows.len()];
        if !whole.is_empty() {
            let own: Vec<&Row> = whole.iter().map(|&row| rows[row]).collect();
            let made = self.unforked(&own)?;
            for (&row, values) in whole.iter().zip(made) {
                features[row] =
                    Feature { values, flops: rows[row].pack.flops, shared: SharedBlocks::default() };
            }
        }
        if let Some(fork) = fork {
            let made = self.forked(&fork, rows, images)?;
            fork.rows.iter().zip(made).for_each(|(&row, feature)| features[row] = feature);
        }
        Ok(features)
    }

    /// Features of rows that part ways at a cut; behind the pooling only heads differ, and what they read.
    fn forked(&mut self, fork: &Fork, rows: &[&Row], images: &[usize]) -> Result<Vec<Feature>, Error> {
        let branch = |&row: &usize| Forked { row: rows[row], image: images[row], first: rows[images[row]] };
        let own: Vec<Forked<'_>> = fork.rows.iter().map(branch).collect();
        let found = self.below(fork.cut, &own)?;
        let made = self.above(fork.cut, &own, &found.left)?;
        let ran = found.ran;
        let blocks = fork.cut.min(self.config.depth());
        let below = self.costs.below(blocks);
        let images: Vec<usize> = own.iter().map(|row| row.image).collect();
        let shared = parts(&images, below, |image| ran.contains(&image));
        let cost = |row: &Forked<'_>, shared: u64| row.row.pack.flops.saturating_sub(below) + shared;
        let costs = own.iter().zip(shared).map(|(row, shared)| cost(row, shared));
        let told: Vec<SharedBlocks> = own.iter().map(|row| shared_blocks(blocks, row, &own, &ran)).collect();
        let shares = told.iter().filter(|told| told.rows > 0).count();
        self.metrics.engine.rows_forked.inc_by(shares as u64);
        let made = made.into_iter().zip(costs).zip(told);
        Ok(made.map(|((values, flops), shared)| Feature { values, flops, shared }).collect())
    }

    /// Features of rows that run from the first block to the last. Those of one number of tokens run together.
    fn unforked(&mut self, rows: &[&Row]) -> Result<Vec<Vec<f32>>, Error> {
        let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            lengths.entry(row.pack.prompts()).or_default().push(index);
        }
        let mut features = vec![Vec::new(); rows.len()];
        for alike in lengths.into_values() {
            let own: Vec<&Row> = alike.iter().map(|&index| rows[index]).collect();
            let made = self.together(&own)?;
            alike.into_iter().zip(made).for_each(|(index, feature)| features[index] = feature);
        }
        Ok(features)
    }

    /// As [`Self::unforked`], of rows with as many tokens as each other.
    fn together(&mut self, rows: &[&Row]) -> Result<Vec<Vec<f32>>, Error> {
        let plan = self.choose(self.config.blocks(), modules(rows.iter().map(|row| &row.pack)))?;
        let entering: Vec<BatchRow<'_>> = rows
            .iter()
            .map(|row| BatchRow { entering: row.pixels.entering(), pack: Some(&row.pack) })
            .collect();
        let cost = rows.iter().map(|row| row.pack.flops).sum();
        self.ask(&plan, &entering, cost)
    }

    /// How the rows run on the programs that are here.
    fn layout(&self, rows: &[&Row], images: &[usize]) -> Layout {
        let depth = self.config.depth();
        let lowest: Vec<usize> = rows.iter().map(|row| self.last_cut(row)).collect();
        let branch = |((row, &image), &lowest): ((&&Row, &usize), &usize)| Branch {
            image,
            lowest,
            keeps: row.image.is_some(),
        };
        let branches: Vec<Branch> = rows.iter().zip(images).zip(&lowest).map(branch).collect();
        let can_cut = |cut: &usize| {
            let late = rows.iter().zip(&lowest).filter(|(_, lowest)| **lowest >= *cut);
            self.cuts(*cut, modules(late.map(|(row, _)| &row.pack)))
        };
        let cuts = (1..depth).filter(can_cut);
        // After the last block only heads differ, which needs no program of its own.
        let cuts: Vec<usize> = cuts.chain([depth]).collect();
        layout(&branches, &self.costs, &cuts, |image, cut| {
            Known::of(rows[image]).is_some_and(|key| self.keeps(key, cut))
        })
    }
}

/// A row's pooled feature.
#[derive(Clone, Debug, Default)]
pub(super) struct Feature {
    /// `[D]`, and behind it what the head reads where it reads depths.
    pub(super) values: Vec<f32>,
    /// What the row cost.
    pub(super) flops: u64,
    /// The blocks that it did not run alone.
    pub(super) shared: SharedBlocks,
}

/// A row that shares what lies below a cut with the other rows of its image.
pub(super) struct Forked<'a> {
    pub(super) row: &'a Row,
    /// Which of the batch's images it is.
    pub(super) image: usize,
    /// The first row of that image.
    pub(super) first: &'a Row,
}

/// What rows under `packs` need together.
pub(super) fn modules<'a>(packs: impl Iterator<Item = &'a Arc<Pack>>) -> ModuleSet {
    packs.fold(ModuleSet::EMPTY, |modules, pack| modules.union(pack.modules))
}

/// What a row shares of some blocks: nothing where it is its image's only one, nothing of the image was kept and nothing will
/// be.
fn shared_blocks(blocks: usize, row: &Forked<'_>, all: &[Forked<'_>], ran: &[usize]) -> SharedBlocks {
    let rows = all.iter().filter(|other| other.image == row.image).count();
    let is_kept = !ran.contains(&row.image);
    match rows > 1 || is_kept || row.first.image.is_some() {
        true => SharedBlocks { blocks, rows, is_kept },
        false => SharedBlocks::default(),
    }
}
