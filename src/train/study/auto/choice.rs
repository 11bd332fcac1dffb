//! Who goes on, and who is chosen, by answers on the same images.

use super::asked::Prefer;
use crate::train::study::statistics::discordant;

/// Share of the best one's cost that a candidate may have to count as clearly cheaper. Methods behind one block differ by a
/// few thousandths, which nobody notices.
const CLEARLY: f64 = 0.9;

/// A candidate that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Whether it is a head alone.
    pub is_head: bool,
    /// Whether it was right, image by image.
    pub right: Vec<bool>,
    /// FLOPs of one image under eight such tasks.
    pub flops_of_8: u64,
    /// Bytes of its pack.
    pub bytes: u64,
}

/// Who is chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its place.
    pub place: usize,
    /// The reason, in a sentence.
    pub reason: String,
}

impl Standing {
    /// Share of the images it was right on.
    pub fn accuracy(&self) -> f64 {
        self.count() as f64 / self.right.len().max(1) as f64
    }

    fn count(&self) -> usize {
        self.right.iter().filter(|&&right| right).count()
    }

    fn price(&self, prefer: Prefer) -> u64 {
        if prefer == Prefer::Bytes { self.bytes } else { self.flops_of_8 }
    }

    /// Whether it is right on more images than another by more than noise: the standard error of the difference where
    /// neither is better, `√(b + c)` of the `b` and `c` images that one alone answers rightly, as in McNemar's test.
    pub fn beats(&self, other: &Self) -> bool {
        let (mine, theirs) = discordant(&self.right, &other.right);
        mine as f64 - theirs as f64 > ((mine + theirs) as f64).sqrt()
    }
}

/// Places in the order in which candidates go on. By accuracy, or, where cost or bytes are preferred, first those that the
/// most accurate does not beat, the cheapest of them first.
pub fn order(standings: &[Standing], prefer: Prefer) -> Vec<usize> {
    let mut places: Vec<usize> = (0..standings.len()).collect();
    let worth = |place: &usize| {
        let of = &standings[*place];
        // Of equals the first of the list: bytes of packs differ by the length of their settings.
        (std::cmp::Reverse(of.count()), of.flops_of_8)
    };
    places.sort_by_key(worth);
    if prefer != Prefer::Accuracy
        && let Some(&best) = places.first()
    {
        let (mut level, beaten): (Vec<usize>, Vec<usize>) =
            places.iter().partition(|&&place| !standings[best].beats(&standings[place]));
        level.sort_by_key(|place| standings[*place].price(prefer));
        places = [level, beaten].concat();
    }
    places
}

/// The best one by what is preferred, or the head alone if that is not beaten. None of nothing.
pub fn choose(standings: &[Standing], prefer: Prefer) -> Option<Choice> {
    let by_accuracy = order(standings, Prefer::Accuracy);
    let best = *by_accuracy.first()?;
    let head = by_accuracy.iter().copied().find(|&place| standings[place].is_head);
    let beats_head = |place: usize| head.is_none_or(|head| standings[place].beats(&standings[head]));
    if let Some(head) = head.filter(|_| !standings[best].is_head && !beats_head(best)) {
        let reason = "the most accurate does not beat the head alone by more than noise".into();
        return Some(Choice { place: head, reason });
    }
    // Whoever stands in for the most accurate has to do what it does: beat the head, or be one.
    let stands =
        |place: usize| if standings[best].is_head { standings[place].is_head } else { beats_head(place) };
    let level = by_accuracy.iter().copied();
    let level = level.filter(|&place| stands(place) && !standings[best].beats(&standings[place])).collect();
    let (place, reason) = preferred(standings, level, prefer)?;
    Some(Choice { place, reason: reason.into() })
}

/// Of places of standings that are as good, the most accurate first: who is preferred, and why.
fn preferred(standings: &[Standing], level: Vec<usize>, prefer: Prefer) -> Option<(usize, &'static str)> {
    let best = *level.first()?;
    if prefer == Prefer::Accuracy {
        return Some(clearly_cheaper(standings, &level, best));
    }
    let reason = match prefer {
        Prefer::Bytes => {
            "of those that the most accurate does not beat by more than noise, its pack is the smallest"
        }
        _ => {
            "of those that the most accurate does not beat by more than noise, it makes eight tasks cheapest"
        }
    };
    Some((level.into_iter().min_by_key(|&place| standings[place].price(prefer))?, reason))
}

/// The most accurate, unless one that is as good is clearly cheaper.
fn clearly_cheaper(standings: &[Standing], level: &[usize], best: usize) -> (usize, &'static str) {
    let most = CLEARLY * standings[best].flops_of_8 as f64;
    let cheaper = level.iter().copied().filter(|&place| standings[place].flops_of_8 as f64 <= most);
    match cheaper.min_by_key(|&place| standings[place].flops_of_8) {
        Some(place) => (
            place,
            "the most accurate does not beat it by more than noise, and it makes eight tasks clearly cheaper",
        ),
        None => (best, "it is the most accurate"),
    }
}

/// Why a candidate does not go on, where others do.
pub fn dropped(standings: &[Standing], place: usize, goes_on: &[usize], prefer: Prefer) -> String {
    let own = &standings[place];
    let better = goes_on.iter().filter(|&&other| standings[other].count() > own.count()).count();
    if better == goes_on.len() {
        return format!("all {better} that went on were more accurate");
    }
    let best = order(standings, Prefer::Accuracy).first().copied();
    let is_beaten = best.is_some_and(|best| standings[best].beats(own));
    let gain = if prefer == Prefer::Bytes { "with no larger packs" } else { "at no higher price" };
    match prefer {
        Prefer::Accuracy => {
            format!("of those that went on {better} were more accurate, the others as accurate {gain}")
        }
        _ if is_beaten => "the most accurate beats it by more than noise".into(),
        _ => format!("those that went on are as good {gain}"),
    }
}
