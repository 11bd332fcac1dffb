//! How fast a training goes, by what it tells; compiling before the first step is not counted.

use std::time::Instant;

use crate::train::progress::Step;

/// A place in a training, and when it was reached.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: Instant,
    /// Images of all epochs up to here.
    images: usize,
}

/// What was seen of a training in this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    first: Option<Mark>,
    last: Option<Mark>,
    /// Images of whole epochs, and of the one that is under way.
    whole: usize,
    done: usize,
    /// Images of an epoch.
    count: usize,
}

impl Watch {
    /// Hears of a step.
    pub fn see(&mut self, step: &Step, time: Instant) {
        if step.done <= self.done {
            self.whole += step.count;
        }
        (self.done, self.count) = (step.done, step.count);
        let mark = Mark { time, images: self.whole + step.done };
        self.first.get_or_insert(mark);
        self.last = Some(mark);
    }

    /// Epochs that were seen.
    pub fn epochs(&self) -> f64 {
        self.last.map_or(0.0, |last| last.images as f64 / self.count.max(1) as f64)
    }

    /// Seconds of an epoch: from the first step to the last, or of the whole training if there was one step; 0 if none.
    pub fn epoch_seconds(&self, whole: f64) -> f64 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        match last.images - first.images {
            0 => whole / self.epochs().max(f64::MIN_POSITIVE),
            images => (last.time - first.time).as_secs_f64() * self.count as f64 / images as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_epoch_is_timed_without_what_comes_before_the_first_step() {
        let (start, mut watch) = (Instant::now(), Watch::default());
        assert_eq!((watch.epochs(), watch.epoch_seconds(9.0)), (0.0, 0.0));
        let mut see = |done, seconds| {
            watch.see(&Step { done, count: 40, ..Step::default() }, start + Duration::from_secs(seconds));
            (watch.epochs(), watch.epoch_seconds(9.0))
        };
        assert_eq!(see(40, 100), (1.0, 9.0), "one step is all that is known");
        // A second epoch in steps of ten images and two seconds.
        for (done, seconds) in [(10, 102), (20, 104), (30, 106)] {
            assert_eq!(see(done, seconds).1, 8.0);
        }
        assert_eq!(see(40, 108), (2.0, 8.0));
    }
}
