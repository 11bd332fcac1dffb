//! Which numbered lines were read before.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Numbers by the process that gave them, as ranges: a process counts upwards, so a range or two are all there is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    boots: HashMap<String, BTreeMap<u64, u64>>,
}

impl Seen {
    /// Notes a line; false where it was noted before.
    pub fn note(&mut self, boot: &str, number: u64) -> bool {
        if !self.boots.contains_key(boot) {
            self.boots.insert(boot.to_owned(), BTreeMap::new());
        }
        let Some(ranges) = self.boots.get_mut(boot) else { return false };
        let before = ranges.range(..=number).next_back().map(|(&start, &last)| (start, last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let joined = before.filter(|(_, last)| last + 1 == number).map(|(start, _)| start);
        let start = joined.unwrap_or(number);
        let last = number.checked_add(1).and_then(|next| ranges.remove(&next)).unwrap_or(number);
        ranges.insert(start, last);
        true
    }

    /// Forgets processes of which nothing is left.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.boots.retain(|boot, _| keep(boot));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_know_what_a_set_knows(numbers in proptest::collection::vec((0_u8..2, 0_u64..40), 0..200)) {
            let (mut seen, mut set) = (Seen::default(), HashSet::new());
            for (boot, number) in numbers {
                prop_assert_eq!(seen.note(&boot.to_string(), number), set.insert((boot, number)));
            }
        }
    }

    #[test]
    fn counting_up_keeps_one_range() {
        let mut seen = Seen::default();
        assert!((0..1000).all(|n| seen.note("b", n)) && !seen.note("b", 500) && seen.note("b", u64::MAX));
        assert_eq!(seen.boots["b"].len(), 2);
    }
}
