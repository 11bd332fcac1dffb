//! The two sides of a cut: what lies below it, once an image, and what lies above it, once a row.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::BatchRow;
use super::depths::read;
use super::error::Error;
use super::pixels::Entering;
use super::prefixes::Known;
use super::row::Row;
use super::run::{Forked, Runner, modules};
use super::states::{State, States};
use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::Plan;

/// What lies below a cut.
pub(super) struct Below {
    /// One for each row.
    pub(super) left: Vec<Left>,
    /// Images that ran for it; the others were kept from before.
    pub(super) ran: Vec<usize>,
}

/// What the blocks below a cut left of an image.
#[derive(Clone)]
pub(super) enum Left {
    /// On the host.
    Here(Arc<[f32]>),
    /// On the device.
    There(State),
}

impl Left {
    fn entering(&self) -> Entering<'_> {
        match self {
            Self::Here(values) => Entering::Values(values),
            Self::There(state) => {
                let (tensor, entry) = state.place();
                Entering::State(tensor, entry)
            }
        }
    }

    /// The values, behind which nothing runs: those are always here.
    fn values(&self) -> Result<&[f32], Error> {
        match self {
            Self::Here(values) => Ok(values),
            Self::There(_) => Err(Error::WorkerLost),
        }
    }
}

impl Runner {
    /// Whether what lies below a cut is kept for an image.
    pub(super) fn keeps(&self, image: Known, cut: usize) -> bool {
        match self.states(cut).filter(|states| states.keeps(cut)) {
            Some(states) => states.holds(image, cut),
            None => self.kept_at(image, cut).is_some(),
        }
    }

    /// Where outputs before a block stay on the device, if they do. Features are read by the host.
    fn states(&self, cut: usize) -> Option<Arc<States>> {
        self.lane.states().filter(|_| cut < self.config.depth())
    }

    /// Where what lies below a cut is kept for an image on the host. The pooled feature stands before those of the depths, too.
    fn kept_at(&self, image: Known, cut: usize) -> Option<usize> {
        let behind = (cut == self.config.depth()).then(|| self.config.behind_pooling());
        [cut].into_iter().chain(behind).find(|&cut| self.prefixes.holds(image, cut))
    }

    /// What lies below a cut, kept on the host from before.
    fn kept(&self, image: Known, cut: usize) -> Option<Arc<[f32]>> {
        let at = self.kept_at(image, cut).unwrap_or(cut);
        let values = self.prefixes.get(image, at)?;
        if at == cut {
            return Some(values);
        }
        values.get(..self.config.feature_width()).map(Arc::from)
    }

    /// What lies below the cut for each row: kept from before, or run once an image.
    pub(super) fn below(&mut self, cut: usize, rows: &[Forked<'_>]) -> Result<Below, Error> {
        let images: BTreeMap<usize, &Row> = rows.iter().map(|row| (row.image, row.first)).collect();
        // Where the device keeps none, the host does.
        let is_known = images.values().any(|row| Known::of(row).is_some());
        let there = match self.states(cut).filter(|states| !is_known || states.keeps(cut)) {
            Some(states) => self.below_there(&states, cut, &images)?,
            None => None,
        };
        let (found, ran) = match there {
            Some(found) => found,
            None => self.below_here(cut, &images)?,
        };
        let of = |row: &Forked<'_>| found.get(&row.image).cloned().ok_or(Error::WorkerLost);
        let left = rows.iter().map(of).collect::<Result<_, _>>()?;
        Ok(Below { left, ran })
    }

    /// What lies below the cut for each image, on the host, and which images ran for it. What is kept on the device is neither
    /// looked for here nor kept.
    fn below_here(&mut self, cut: usize, images: &BTreeMap<usize, &Row>) -> Result<Found, Error> {
        let is_kept_here = self.states(cut).is_none_or(|states| !states.keeps(cut));
        let key = |row: &Row| Known::of(row).filter(|_| is_kept_here);
        let kept = |(&image, row): (&usize, &&Row)| {
            let kept = key(row).and_then(|key| self.kept(key, cut))?;
            Some((image, Left::Here(kept)))
        };
        let mut found: BTreeMap<usize, Left> = images.iter().filter_map(kept).collect();
        let missing = missing(images, &found);
        if missing.is_empty() {
            return Ok((found, missing));
        }
        let depth = self.config.depth();
        let plan = match cut.cmp(&depth) {
            Ordering::Less => Plan::below(cut),
            Ordering::Equal => self.choose(self.config.blocks(), ModuleSet::EMPTY)?,
            Ordering::Greater => Plan::reading(&self.config),
        };
        let cost = missing.len() as u64 * self.costs.below(cut.min(depth));
        let made = self.ask(&plan, &entering(images, &missing), cost)?;
        for (&image, values) in missing.iter().zip(made) {
            let values: Arc<[f32]> = values.into();
            if let Some(key) = key(images[&image]) {
                self.prefixes.put(key, cut, Arc::clone(&values));
            }
            found.insert(image, Left::Here(values));
        }
        Ok((found, missing))
    }

    /// The same on the device; none where it has no room just now.
    fn below_there(
        &mut self,
        states: &States,
        cut: usize,
        images: &BTreeMap<usize, &Row>,
    ) -> Result<Option<Found>, Error> {
        let kept = |(&image, row): (&usize, &&Row)| {
            let kept = Known::of(row).and_then(|key| states.find(key, cut))?;
            Some((image, Left::There(kept)))
        };
        let mut found: BTreeMap<usize, Left> = images.iter().filter_map(kept).collect();
        let missing = missing(images, &found);
        // Apart, so that images that nobody keeps take no entry of one that is kept.
        let is_kept = |image: &usize| Known::of(images[image]).is_some();
        let (kept, others): (Vec<usize>, Vec<usize>) = missing.iter().copied().partition(is_kept);
        let mut parts = Vec::new();
        for (part, is_kept) in [(kept, true), (others, false)] {
            if part.is_empty() {
                continue;
            }
            let Some(room) = states.take(cut, part.len(), is_kept) else { return Ok(None) };
            parts.push((part, room));
        }
        for image in images.keys().filter(|image| is_kept(image)) {
            self.metrics.engine.looked_up_prefix(found.contains_key(image));
        }
        for (part, room) in parts {
            let cost = part.len() as u64 * self.costs.below(cut);
            self.ask_into(&Plan::below(cut), (&entering(images, &part), cost), room.place())?;
            for (&image, state) in part.iter().zip(room.states()) {
                if let Some(key) = Known::of(images[&image]) {
                    states.keep(key, cut, &state);
                }
                found.insert(image, Left::There(state));
            }
        }
        Ok(Some((found, missing)))
    }

    /// Features of rows of which `left` is known up to the cut.
    pub(super) fn above(
        &mut self,
        cut: usize,
        rows: &[Forked<'_>],
        left: &[Left],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let depth = self.config.depth();
        if cut >= depth {
            let own = |(row, left): (&Forked<'_>, &Left)| match cut == depth {
                true => left.values().map(<[f32]>::to_vec),
                false => left.values().map(|values| read(&self.config, row.row, values)),
            };
            return rows.iter().zip(left).map(own).collect();
        }
        let blocks = BlockRange { start: cut, end: depth };
        let plan = self.choose(blocks, modules(rows.iter().map(|forked| &forked.row.pack)))?;
        let entering = rows
            .iter()
            .zip(left)
            .map(|(forked, left)| BatchRow { entering: left.entering(), pack: Some(&forked.row.pack) });
        let own: Vec<BatchRow<'_>> = entering.collect();
        let below = self.costs.below(cut);
        let cost = rows.iter().map(|forked| forked.row.pack.flops.saturating_sub(below)).sum();
        self.ask(&plan, &own, cost)
    }
}

/// What lies below a cut for each image, and the images that ran for it.
type Found = (BTreeMap<usize, Left>, Vec<usize>);

/// The images of which nothing was found, those with samples first.
fn missing(images: &BTreeMap<usize, &Row>, found: &BTreeMap<usize, Left>) -> Vec<usize> {
    let mut missing: Vec<usize> = images.keys().copied().filter(|image| !found.contains_key(image)).collect();
    missing.sort_by_key(|image| images[image].pixels.entering().samples().is_none());
    missing
}

/// Images as they enter the first block.
fn entering<'a>(images: &BTreeMap<usize, &'a Row>, these: &[usize]) -> Vec<BatchRow<'a>> {
    these.iter().map(|image| BatchRow::bare(images[image].pixels.entering())).collect()
}
