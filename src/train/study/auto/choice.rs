//! Who goes on, and who is chosen, by answers on the same images.

use super::asked::Prefer;

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
        let pairs = self.right.iter().zip(&other.right);
        let (mut mine, mut theirs) = (0.0_f64, 0.0);
        for (&own, &its) in pairs {
            mine += f64::from(u8::from(own && !its));
            theirs += f64::from(u8::from(its && !own));
        }
        mine - theirs > (mine + theirs).sqrt()
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
    let (place, reason) = match prefer {
        Prefer::Accuracy => clearly_cheaper(standings, best),
        Prefer::Cost => (
            order(standings, prefer)[0],
            "of those that the most accurate does not beat by more than noise, it makes eight tasks cheapest",
        ),
        Prefer::Bytes => (
            order(standings, prefer)[0],
            "of those that the most accurate does not beat by more than noise, its pack is the smallest",
        ),
    };
    let head = by_accuracy.into_iter().find(|&place| standings[place].is_head);
    let net = head.filter(|&head| !standings[place].is_head && !standings[place].beats(&standings[head]));
    Some(match net {
        Some(head) => {
            Choice { place: head, reason: "no other beats the head alone by more than noise".into() }
        }
        None => Choice { place, reason: reason.into() },
    })
}

/// The most accurate, unless one that it does not beat is clearly cheaper.
fn clearly_cheaper(standings: &[Standing], best: usize) -> (usize, &'static str) {
    let most = CLEARLY * standings[best].flops_of_8 as f64;
    let is_level = |place: &usize| !standings[best].beats(&standings[*place]);
    let cheaper = (0..standings.len()).filter(|&place| standings[place].flops_of_8 as f64 <= most);
    let cheapest = cheaper.filter(is_level).min_by_key(|&place| standings[place].flops_of_8);
    match cheapest {
        Some(place) => (
            place,
            "the most accurate does not beat it by more than noise, and it makes eight tasks clearly cheaper",
        ),
        None => (best, "it is the most accurate"),
    }
}
