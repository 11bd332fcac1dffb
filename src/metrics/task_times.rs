//! How long answers take, by task: a bounded number of tasks have series of their own.

use std::collections::HashMap;
use std::fmt::{Arguments, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::task_labels::TaskLabels;
use super::tasks::head;

/// The label of all tasks without one of their own.
const OTHER: &str = "other";
/// Least time between two changes of who has a label.
const PATIENCE: Duration = Duration::from_secs(60);
/// Upper bounds, seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The family.
const NAME: &str = "mimi_task_duration_seconds";
const HELP: &str =
    "Time from a request's header to its answer (ok), by task; tasks beyond --metrics-tasks are other";

/// Times of one label.
#[derive(Clone, Copy, Default)]
struct Times {
    /// By bound; those above all bounds last.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Times {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.sum += time;
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(own, more)| *own += more);
        self.sum += other.sum;
    }

    /// The label's lines.
    fn write(&self, label: &str, text: &mut String) {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            below += count;
            line(text, "_bucket", format_args!("task=\"{label}\",le=\"{bound}\""), format_args!("{below}"));
        }
        let (labels, count) = (format_args!("task=\"{label}\""), self.count());
        line(text, "_bucket", format_args!("task=\"{label}\",le=\"+Inf\""), format_args!("{count}"));
        line(text, "_sum", labels, format_args!("{}", self.sum.as_secs_f64()));
        line(text, "_count", labels, format_args!("{count}"));
    }
}

fn line(text: &mut String, ending: &str, labels: Arguments<'_>, value: Arguments<'_>) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{NAME}{ending}{{{labels}}} {value}");
}

/// A task with a label.
#[derive(Default)]
struct Own {
    /// What is shown, since it got the label.
    times: Times,
    /// Answers since the start.
    answers: u64,
}

#[derive(Default)]
struct State {
    own: HashMap<Arc<str>, Own>,
    other: Times,
    /// Answers since the start of tasks without a label.
    without: HashMap<Arc<str>, u64>,
    changed: Option<Instant>,
}

impl State {
    fn observe(&mut self, task: &str, time: Duration, most: usize) {
        if let Some(own) = self.own.get_mut(task) {
            own.answers += 1;
            return own.times.observe(time);
        }
        if self.own.len() < most && task != OTHER {
            // What it did without a label stays with the others.
            let mut own = Own { answers: self.without.remove(task).unwrap_or(0) + 1, ..Own::default() };
            own.times.observe(time);
            self.own.insert(task.into(), own);
            return;
        }
        self.other.observe(time);
        match self.without.get_mut(task) {
            Some(count) => *count += 1,
            None => drop(self.without.insert(task.into(), 1)),
        }
    }

    /// Gives the label of the task that answered least to one that answered twice as much, if there is one and it is
    /// time. Its series begins at 0, where it had one before too.
    fn review(&mut self, most: usize, now: Instant) {
        let is_early = self.changed.is_some_and(|at| now.saturating_duration_since(at) < PATIENCE);
        if self.own.len() < most || is_early {
            return;
        }
        let least = self.own.iter().min_by_key(|(_, own)| own.answers);
        let fit = self.without.iter().filter(|(task, _)| ***task != *OTHER);
        let (Some((least, own)), Some((greatest, answers))) = (least, fit.max_by_key(|(_, count)| **count))
        else {
            return;
        };
        if *answers > own.answers.saturating_mul(2) {
            let (least, greatest, answers) = (Arc::clone(least), Arc::clone(greatest), *answers);
            self.end(&least);
            self.without.remove(&greatest);
            self.own.insert(greatest, Own { answers, ..Own::default() });
            self.changed = Some(now);
        }
    }

    /// Ends a task's series; the others take its times over, so that sums never go back.
    fn end(&mut self, task: &str) {
        if let Some((task, own)) = self.own.remove_entry(task) {
            self.other.add(&own.times);
            self.without.insert(task, own.answers);
        }
    }

    fn forget(&mut self, task: &str) {
        self.end(task);
        self.without.remove(task);
    }
}

/// The times. Tasks come from the catalog, never from a request's text.
#[derive(Default)]
pub struct TaskTimes {
    most: usize,
    state: Mutex<State>,
}

impl TaskTimes {
    /// None yet, for so many tasks.
    pub(super) fn new(labels: TaskLabels) -> Self {
        Self { most: labels.most(), state: Mutex::default() }
    }

    /// Records how long an answer of a task took.
    pub fn observe(&self, task: &str, time: Duration) {
        if self.most > 0 {
            self.lock().observe(task, time, self.most);
        }
    }

    /// Ends the series of a task that is no longer published.
    pub(super) fn forget(&self, task: &str) {
        self.lock().forget(task);
    }

    /// Writes the family, after a look at who should have a label.
    pub(super) fn write(&self, text: &mut String, now: Instant) {
        let (mut times, other) = {
            let mut state = self.lock();
            state.review(self.most, now);
            let own = state.own.iter().map(|(task, own)| (Arc::clone(task), own.times));
            (own.collect::<Vec<_>>(), state.other)
        };
        times.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if other.count() > 0 {
            times.push((OTHER.into(), other));
        }
        if !times.is_empty() {
            head(text, (NAME, "histogram"), HELP);
        }
        times.iter().for_each(|(task, times)| times.write(task, text));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(most: usize) -> TaskTimes {
        TaskTimes::new(TaskLabels::Top(most))
    }

    /// The value of each label's series of this ending.
    fn values(times: &TaskTimes, ending: &str, now: Instant) -> HashMap<String, f64> {
        let mut text = String::new();
        times.write(&mut text, now);
        let start = format!("{NAME}{ending}{{task=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&start)?.rsplit_once("\"} "));
        lines.map(|(label, value)| (label.to_owned(), value.parse().unwrap())).collect()
    }

    /// Counts by label.
    fn counts(times: &TaskTimes, now: Instant) -> HashMap<String, u64> {
        let found = values(times, "_count", now).into_iter();
        found.map(|(label, count)| (label, count as u64)).collect()
    }

    fn answer(times: &TaskTimes, task: &str, count: u64) {
        (0..count).for_each(|_| times.observe(task, Duration::ZERO));
    }

    proptest! {
        /// Whatever answers and is forgotten: no more labels than allowed, nothing is lost, and a label goes back only
        /// where the scrape before lacked it.
        #[test]
        fn labels_are_bounded_and_sums_exact(
            most in 1_usize..4,
            steps in prop::collection::vec((0_u8..9, 0_u8..12), 0..300),
        ) {
            let (times, mut seen, mut total) = (times(most), HashMap::<String, u64>::new(), 0);
            let mut now = Instant::now();
            for (task, what) in steps {
                let task = if task == 8 { OTHER.to_owned() } else { format!("t{task}") };
                match what {
                    0 => { times.forget(&task); seen.remove(&task); }
                    _ => { times.observe(&task, Duration::from_millis(u64::from(what))); total += 1; }
                }
                now += PATIENCE / 2;
                let found = counts(&times, now);
                prop_assert!(found.len() <= most + 1, "{found:?}");
                prop_assert_eq!(found.values().sum::<u64>(), total);
                for (label, count) in &found {
                    prop_assert!(seen.get(label).is_none_or(|before| before <= count), "{} {:?}", label, found);
                }
                seen = found;
            }
        }
    }

    #[test]
    fn who_answers_most_keeps_the_label() {
        let (times, now) = (times(1), Instant::now());
        answer(&times, "a", 3);
        answer(&times, "b", 7);
        assert_eq!(counts(&times, now), HashMap::from([("b".into(), 0), (OTHER.into(), 10)]));
        for scrape in 1..=10 {
            answer(&times, "a", 1);
            answer(&times, "b", 2);
            let found = counts(&times, now + PATIENCE * scrape);
            assert_eq!(found.get("b"), Some(&(2 * u64::from(scrape))), "{found:?}");
        }
    }

    #[test]
    fn a_label_comes_back_but_not_at_once() {
        let (times, now) = (times(1), Instant::now());
        answer(&times, "a", 3);
        answer(&times, "b", 7);
        assert!(counts(&times, now).contains_key("b"));
        answer(&times, "a", 20);
        assert!(counts(&times, now + PATIENCE - Duration::from_secs(1)).contains_key("b"));
        assert_eq!(counts(&times, now + PATIENCE), HashMap::from([("a".into(), 0), (OTHER.into(), 30)]));
    }

    #[test]
    fn buckets_are_cumulative() {
        let times = times(1);
        for millis in [1, 5, 6, 11_000] {
            times.observe("a", Duration::from_millis(millis));
        }
        let now = Instant::now();
        let buckets = values(&times, "_bucket", now);
        let bounds = ["0.005", "0.01", "10", "+Inf"].map(|bound| buckets[&format!("a\",le=\"{bound}")]);
        assert_eq!((bounds, buckets.len()), ([2.0, 3.0, 3.0, 4.0], BOUNDS.len() + 1));
        assert_eq!(values(&times, "_count", now), HashMap::from([("a".into(), 4.0)]));
        assert_eq!(values(&times, "_sum", now), HashMap::from([("a".into(), 11.012)]));
    }
}
