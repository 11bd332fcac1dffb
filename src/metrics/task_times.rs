//! How long answers take, by task: a bounded number of tasks have series of their own.

use std::collections::{HashMap, HashSet};
use std::fmt::{Arguments, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::tasks::head;

/// The label of all tasks without one of their own.
const OTHER: &str = "other";
/// Most tasks that ever have series of their own.
const MOST: usize = 10_000;
/// Upper bounds, seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The family.
const NAME: &str = "mimi_task_duration_seconds";
const HELP: &str =
    "Time from a request's header to its answer (ok), by task; tasks beyond --metrics-tasks are other";

/// Which tasks have times of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLabels {
    /// None, and there is no family.
    None,
    /// So many: those that answer most.
    Top(usize),
}

impl TaskLabels {
    /// As many as there may ever be.
    pub const ALL: Self = Self::Top(MOST);

    fn most(self) -> usize {
        match self {
            Self::None => 0,
            Self::Top(most) => most.min(MOST),
        }
    }
}

impl Default for TaskLabels {
    /// 50 tasks make 650 lines.
    fn default() -> Self {
        Self::Top(50)
    }
}

impl FromStr for TaskLabels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let top = |number: &str| number.parse().ok().filter(|most| (1..=MOST).contains(most)).map(Self::Top);
        let found = match text {
            "none" => Some(Self::None),
            "all" => Some(Self::ALL),
            _ => text.strip_prefix("top:").and_then(top),
        };
        found.ok_or_else(|| format!("{text:?}: expected none, all or top:K with K from 1 to {MOST}"))
    }
}

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

#[derive(Default)]
struct State {
    own: HashMap<Arc<str>, Times>,
    other: Times,
    /// Answers of tasks without a label.
    without: HashMap<Arc<str>, u64>,
    /// Tasks that had a label; the series of one who came back would go back.
    past: HashSet<Arc<str>>,
}

impl State {
    fn observe(&mut self, task: &str, time: Duration, most: usize) {
        if let Some(times) = self.own.get_mut(task) {
            return times.observe(time);
        }
        if self.own.len() < most && task != OTHER && !self.past.contains(task) {
            let mut times = Times::default();
            times.observe(time);
            // What it did without a label stays with the others.
            self.without.remove(task);
            self.own.insert(task.into(), times);
            return;
        }
        self.other.observe(time);
        match self.without.get_mut(task) {
            Some(count) => *count += 1,
            None => drop(self.without.insert(task.into(), 1)),
        }
    }

    /// Gives the label of the task that answers least to one that answers twice as much, if there is one.
    fn review(&mut self, most: usize) {
        if self.own.len() < most {
            return;
        }
        let least = self.own.iter().min_by_key(|(_, times)| times.count());
        let is_fit = |task: &Arc<str>| !self.past.contains(task) && **task != *OTHER;
        let greatest = self.without.iter().filter(|(task, _)| is_fit(task)).max_by_key(|(_, count)| **count);
        let (Some((least, times)), Some((greatest, count))) = (least, greatest) else { return };
        if *count > times.count().saturating_mul(2) {
            let (least, greatest) = (Arc::clone(least), Arc::clone(greatest));
            self.without.remove(&greatest);
            self.own.insert(greatest, Times::default());
            self.end(&least);
            self.past.insert(least);
        }
    }

    /// Ends a task's series; the others take its times over, so that sums never go back.
    fn end(&mut self, task: &str) {
        if let Some((task, times)) = self.own.remove_entry(task) {
            self.other.add(&times);
            self.without.insert(task, times.count());
        }
    }

    fn forget(&mut self, task: &str) {
        self.end(task);
        self.without.remove(task);
        self.past.remove(task);
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
    pub(super) fn write(&self, text: &mut String) {
        let (mut times, other) = {
            let mut state = self.lock();
            state.review(self.most);
            let own = state.own.iter().map(|(task, times)| (Arc::clone(task), *times));
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
    fn values(times: &TaskTimes, ending: &str) -> HashMap<String, f64> {
        let mut text = String::new();
        times.write(&mut text);
        let start = format!("{NAME}{ending}{{task=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&start)?.rsplit_once("\"} "));
        lines.map(|(label, value)| (label.to_owned(), value.parse().unwrap())).collect()
    }

    /// Counts by label.
    fn counts(times: &TaskTimes) -> HashMap<String, u64> {
        values(times, "_count").into_iter().map(|(label, count)| (label, count as u64)).collect()
    }

    proptest! {
        /// Whatever answers and is forgotten: no more labels than allowed, nothing is lost, and no label goes back.
        #[test]
        fn labels_are_bounded_and_sums_exact(
            most in 1_usize..4,
            steps in prop::collection::vec((0_u8..9, 0_u8..12), 0..300),
        ) {
            let (times, mut seen, mut total) = (times(most), HashMap::<String, u64>::new(), 0);
            for (task, what) in steps {
                let task = if task == 8 { OTHER.to_owned() } else { format!("t{task}") };
                match what {
                    0 => { times.forget(&task); seen.remove(&task); }
                    _ => { times.observe(&task, Duration::from_millis(u64::from(what))); total += 1; }
                }
                let now = counts(&times);
                prop_assert!(now.len() <= most + 1, "{now:?}");
                prop_assert_eq!(now.values().sum::<u64>(), total);
                for (label, count) in &now {
                    prop_assert!(seen.get(label).is_none_or(|before| before <= count), "{} {:?}", label, now);
                }
                seen.extend(now);
            }
        }
    }

    #[test]
    fn who_answers_most_has_a_label() {
        let times = times(1);
        let answer = |task, times_: u64| (0..times_).for_each(|_| times.observe(task, Duration::ZERO));
        answer("rare", 3);
        answer("often", 7);
        assert_eq!(counts(&times), HashMap::from([("often".into(), 0), (OTHER.into(), 10)]));
        answer("often", 2);
        assert_eq!(counts(&times), HashMap::from([("often".into(), 2), (OTHER.into(), 10)]));
    }

    #[test]
    fn buckets_are_cumulative() {
        let times = times(1);
        for millis in [1, 5, 6, 11_000] {
            times.observe("a", Duration::from_millis(millis));
        }
        let buckets = values(&times, "_bucket");
        let bounds = ["0.005", "0.01", "10", "+Inf"].map(|bound| buckets[&format!("a\",le=\"{bound}")]);
        assert_eq!((bounds, buckets.len()), ([2.0, 3.0, 3.0, 4.0], BOUNDS.len() + 1));
        assert_eq!(values(&times, "_count"), HashMap::from([("a".into(), 4.0)]));
        assert_eq!(values(&times, "_sum"), HashMap::from([("a".into(), 11.012)]));
    }

    #[test]
    fn only_bounded_numbers_are_read() {
        assert_eq!("top:7".parse(), Ok(TaskLabels::Top(7)));
        assert_eq!("all".parse(), Ok(TaskLabels::ALL));
        assert_eq!("none".parse(), Ok(TaskLabels::None));
        for wrong in ["", "top", "top:", "top:0", "top:10001", "top:-1", "7", "ALL"] {
            assert!(wrong.parse::<TaskLabels>().unwrap_err().contains("10000"), "{wrong}");
        }
    }
}
