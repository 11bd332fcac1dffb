//! What flows decoded lately, and who of them more than others. Pure.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::engine::{Flow, Share};

/// Time after which what a flow decoded counts for half.
const HALF_LIFE: f64 = 5.0;
/// A flow is over its share beyond this multiple of what flows decoded on average for their weight.
const OVER: f64 = 1.25;
/// What nobody has to be told of any more, seconds.
const NOTHING: f64 = 1e-4;

/// What flows decoded lately.
#[derive(Default)]
pub(super) struct Lately {
    used: HashMap<Flow, Used>,
}

/// Seconds that a flow decoded for each unit of its weight, less and less of what is past.
#[derive(Clone, Copy)]
struct Used {
    seconds: f64,
    at: Instant,
}

impl Used {
    fn now(self, now: Instant) -> f64 {
        let past = now.saturating_duration_since(self.at).as_secs_f64();
        self.seconds * (-past / HALF_LIFE).exp2()
    }
}

impl Lately {
    /// All that are over their share.
    pub(super) fn over(&self, now: Instant) -> HashSet<Flow> {
        let most = self.most(now);
        let used = self.used.iter().filter(|(_, used)| used.now(now) > most);
        used.map(|(flow, _)| *flow).collect()
    }

    /// What no flow may have decoded lately without being over its share.
    fn most(&self, now: Instant) -> f64 {
        let all: f64 = self.used.values().map(|used| used.now(now)).sum();
        if self.used.len() > 1 { OVER * all / self.used.len() as f64 } else { f64::INFINITY }
    }

    /// Notes what a flow decoded.
    pub(super) fn note(&mut self, share: Share, took: Duration, now: Instant) {
        self.used.retain(|_, used| used.now(now) > NOTHING);
        let before = self.used.get(&share.flow).map_or(0.0, |used| used.now(now));
        let seconds = before + took.as_secs_f64() / f64::from(share.weight.max(1));
        self.used.insert(share.flow, Used { seconds, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::share;
    use super::*;

    #[test]
    fn who_decodes_more_than_others_steps_back() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let seconds = Duration::from_secs;
        lately.note(share(1), seconds(10), now);
        assert!(!lately.over(now).contains(&Flow::new(1)), "alone there is no share");
        lately.note(share(2), Duration::from_millis(100), now);
        assert!(lately.over(now).contains(&Flow::new(1)) && !lately.over(now).contains(&Flow::new(2)));
        assert!(!lately.over(now).contains(&Flow::new(3)), "who comes new does not");
        lately.note(share(2), seconds(9), now);
        assert!(!lately.over(now).contains(&Flow::new(1)), "equals do not");
        let later = now + seconds(600);
        lately.note(share(3), seconds(1), later);
        assert_eq!(lately.used.len(), 1, "the past is forgotten");
    }
}
