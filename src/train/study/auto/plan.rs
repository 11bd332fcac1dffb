//! How long each rung trains, so that everything ends in time. Times are in seconds.

use std::collections::BTreeSet;

/// One of so many candidates goes on, and trains so many times as long (η of successive halving, Jamieson and Talwalkar 2016).
/// Of three or fewer the last one is chosen.
pub const KEPT: usize = 3;
/// Least epochs of a rung: after one alone, rates have hardly risen.
const LEAST: usize = 2;
/// A rung is at least such a part of a whole training.
const SHORTEST: usize = 16;
/// The last rung is at least such a part: heads stand beside it that are trained whole. So is the winner's own training.
const FAIR: usize = 4;
/// Largest share of the time for the winner's own training.
const REFIT: f64 = 0.5;

/// How fast a candidate trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Which of the ways to take images in is its own.
    pub intake: usize,
    /// An epoch on the part of the images.
    pub epoch: f64,
    /// What a run takes beside its epochs.
    pub run: f64,
    /// Trainings between which its epochs are divided.
    pub trainings: usize,
}

/// How fast candidates train that never did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Guess {
    /// An epoch on the part of the images.
    pub epoch: f64,
    /// What a run takes beside its epochs.
    pub run: f64,
}

/// What a plan depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Time that is left.
    pub left: f64,
    /// The candidates, the most promising first.
    pub paces: Vec<Pace>,
    /// Preparing the part of the images, for each way to take them in; 0 where that is done.
    pub loads: Vec<f64>,
    /// Preparing all training images, for each of them.
    pub again: Vec<f64>,
    /// An epoch of the winner's own training in epochs on the part.
    pub ratio: f64,
    /// What follows the winner's own training.
    pub finish: f64,
    /// Epochs of a whole training.
    pub longest: usize,
}

/// Trainings of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Who is trained.
    pub candidates: usize,
    /// For how many epochs.
    pub epochs: usize,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The rungs, the shortest first.
    pub rungs: Vec<Rung>,
    /// Epochs of the winner's own training.
    pub refit: usize,
}

impl Pace {
    /// Epochs of its trainings together, as near to `epochs` as they can be divided; at least one each.
    pub fn spread(&self, epochs: usize) -> usize {
        let trainings = self.trainings.max(1);
        (epochs / trainings).max(1) * trainings
    }

    fn seconds(&self, epochs: usize) -> f64 {
        self.run + self.spread(epochs) as f64 * self.epoch
    }
}

/// How many candidates each rung has.
pub fn rungs(candidates: usize) -> Vec<usize> {
    let next = |&count: &usize| (count > KEPT).then(|| count.div_ceil(KEPT));
    std::iter::successors((candidates > 0).then_some(candidates), next).collect()
}

/// The plan with the most candidates that ends in time; the last ones of the list are left out first. None where there is
/// time for none: a head alone is then all.
pub fn schedule(terms: &Terms) -> Option<Schedule> {
    (1..=terms.paces.len()).rev().find_map(|count| terms.fitting(count))
}

impl Schedule {
    /// A plan that begins with `first` epochs, whatever the time.
    pub fn fixed(candidates: usize, first: usize, longest: usize) -> Self {
        let counts = rungs(candidates).into_iter().enumerate();
        let rung = |(place, candidates)| Rung { candidates, epochs: length(first, place, longest) };
        Self { rungs: counts.map(rung).collect(), refit: longest }
    }
}

/// Epochs of a rung.
fn length(first: usize, place: usize, longest: usize) -> usize {
    let factor = KEPT.saturating_pow(u32::try_from(place).unwrap_or(u32::MAX));
    first.saturating_mul(factor).min(longest)
}

impl Terms {
    /// The plan with the first `count` candidates; none where it does not end in time.
    pub fn fitting(&self, count: usize) -> Option<Schedule> {
        let paces = &self.paces[..count];
        let used: BTreeSet<usize> = paces.iter().map(|pace| pace.intake).collect();
        let left = self.left - used.iter().map(|&intake| self.loads[intake]).sum::<f64>();
        let refit = self
            .most(self.longest.div_ceil(FAIR), |epochs| self.refit_seconds(paces, epochs) <= REFIT * left)?;
        let left = left - self.refit_seconds(paces, refit);
        let plan = |first| Schedule { refit, ..Schedule::fixed(count, first, self.longest) };
        let first = self.most(self.least(count), |first| seconds(paces, &plan(first)) <= left)?;
        Some(plan(first))
    }

    /// Least epochs of the first rung.
    fn least(&self, count: usize) -> usize {
        let last = rungs(count).len().saturating_sub(1);
        let does = |&first: &usize| {
            first * SHORTEST >= self.longest && length(first, last, self.longest) * FAIR >= self.longest
        };
        (LEAST.min(self.longest)..=self.longest).find(does).unwrap_or(self.longest)
    }

    /// Epochs of one candidate's own training that the time allows; none where they are fewer than `least`.
    pub fn refit(&self, pace: &Pace, least: usize) -> Option<usize> {
        let least = least.clamp(1, self.longest.max(1));
        self.most(least, |epochs| self.refit_seconds(&[*pace], epochs) <= self.left)
    }

    /// The most epochs from `least` to a whole training that do.
    fn most(&self, least: usize, does: impl Fn(usize) -> bool) -> Option<usize> {
        (least..=self.longest).rev().find(|&epochs| does(epochs))
    }

    /// The winner's own training and what follows, whoever wins.
    pub fn refit_seconds(&self, paces: &[Pace], epochs: usize) -> f64 {
        let own = |pace: &Pace| self.again[pace.intake] + self.ratio * pace.seconds(epochs);
        self.finish + paces.iter().map(own).fold(0.0, f64::max)
    }
}

/// What the rungs take, if the slowest always go on.
pub fn seconds(paces: &[Pace], schedule: &Schedule) -> f64 {
    let of = |rung: &Rung| {
        let mut each: Vec<f64> = paces.iter().map(|pace| pace.seconds(rung.epochs)).collect();
        each.sort_by(|a, b| b.total_cmp(a));
        each.iter().take(rung.candidates).sum::<f64>()
    };
    schedule.rungs.iter().map(of).sum()
}
