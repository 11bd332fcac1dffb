//! Today, this month and the last, by tenant and task.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::charge::{SEVERAL, Sum};
use crate::journal::time::month;

/// Most tasks of all tenants together; of further ones a tenant's are summed.
const MOST: usize = 65_536;

/// What one tenant used, by task; use without a task is under the empty name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Since the server's start.
    pub since_start: Sum,
    /// In the UTC day.
    pub today: BTreeMap<String, Sum>,
    /// In the UTC month.
    pub this_month: BTreeMap<String, Sum>,
    /// In the month before.
    pub last_month: BTreeMap<String, Sum>,
}

impl Used {
    /// Adds what was used under a task on a day, seen from `today`.
    pub(super) fn add(&mut self, task: &str, day: Date, (sum, today): (&Sum, Date)) {
        let mut spans = Spans::at(day);
        spans.add(day, sum);
        self.add_spans(task, &spans.seen_from(today));
    }

    /// Leaves the tasks that used most FLOPs, at most so many in each span; the others are summed under `*`.
    pub(super) fn shorten(&mut self, most: usize) {
        for tasks in [&mut self.today, &mut self.this_month, &mut self.last_month] {
            if tasks.len() <= most {
                continue;
            }
            let mut all: Vec<(String, Sum)> = std::mem::take(tasks).into_iter().collect();
            all.sort_by(|(a, one), (b, other)| (other.flops, a).cmp(&(one.flops, b)));
            let rest = all.split_off(most);
            tasks.extend(all);
            rest.iter().for_each(|(_, sum)| tasks.entry(SEVERAL.to_owned()).or_default().add(sum));
        }
    }

    fn add_spans(&mut self, task: &str, spans: &Spans) {
        let parts = [
            (&mut self.today, spans.today),
            (&mut self.this_month, spans.this_month),
            (&mut self.last_month, spans.last_month),
        ];
        for (tasks, sum) in parts {
            if !sum.is_zero() {
                tasks.entry(task.to_owned()).or_default().add(&sum);
            }
        }
    }
}

/// Sums of the spans that end on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spans {
    /// Days since 1970.
    day: i32,
    month: i32,
    today: Sum,
    this_month: Sum,
    last_month: Sum,
}

impl Spans {
    fn at(day: Date) -> Self {
        let zero = Sum::default();
        Self { day: number(day), month: month(day), today: zero, this_month: zero, last_month: zero }
    }

    fn add(&mut self, day: Date, sum: &Sum) {
        if number(day) > self.day {
            *self = self.seen_from(day);
        }
        if number(day) == self.day {
            self.today.add(sum);
        }
        match self.month - month(day) {
            0 => self.this_month.add(sum),
            1 => self.last_month.add(sum),
            _ => {}
        }
    }

    /// The same on a later day.
    fn seen_from(&self, day: Date) -> Self {
        let mut spans = Self::at(day);
        if number(day) <= self.day {
            return *self;
        }
        match spans.month - self.month {
            0 => (spans.this_month, spans.last_month) = (self.this_month, self.last_month),
            1 => spans.last_month = self.this_month,
            _ => {}
        }
        spans
    }
}

/// Days since 1970.
fn number(day: Date) -> i32 {
    (day - jiff::civil::date(1970, 1, 1)).get_days()
}

/// Spans of a task, as they are stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    tenant: String,
    task: String,
    #[serde(flatten)]
    spans: Spans,
}

/// Sums of everybody.
#[derive(Debug, Default)]
pub(super) struct Totals {
    tenants: HashMap<Arc<str>, HashMap<Arc<str>, Spans>>,
    tasks: usize,
}

impl Totals {
    /// Adds what a tenant used under a task on a day.
    pub(super) fn add(&mut self, tenant: &str, (task, day): (&str, Date), sum: &Sum) {
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.into(), HashMap::new());
        }
        let Some(tasks) = self.tenants.get_mut(tenant) else { return };
        let task = if self.tasks >= MOST && !tasks.contains_key(task) { SEVERAL } else { task };
        if let Some(spans) = tasks.get_mut(task) {
            spans.add(day, sum);
            return;
        }
        self.tasks += 1;
        let mut spans = Spans::at(day);
        spans.add(day, sum);
        tasks.insert(task.into(), spans);
    }

    /// What a tenant used, seen from a day.
    pub(super) fn of(&self, tenant: &str, today: Date) -> Used {
        let mut used = Used::default();
        for (task, spans) in self.tenants.get(tenant).into_iter().flatten() {
            used.add_spans(task, &spans.seen_from(today));
        }
        used
    }

    /// Forgets what is older than the last month.
    pub(super) fn forget(&mut self, today: Date) {
        let is_old = |spans: &Spans| {
            let seen = spans.seen_from(today);
            seen.this_month.is_zero() && seen.last_month.is_zero()
        };
        self.tenants.values_mut().for_each(|tasks| tasks.retain(|_, spans| !is_old(spans)));
        self.tenants.retain(|_, tasks| !tasks.is_empty());
        self.tasks = self.tenants.values().map(HashMap::len).sum();
    }

    /// As it is stored.
    pub(super) fn store(&self) -> Vec<Stored> {
        let of = |(tenant, tasks): (&Arc<str>, &HashMap<Arc<str>, Spans>)| {
            let one = |(task, spans): (&Arc<str>, &Spans)| Stored {
                tenant: tenant.to_string(),
                task: task.to_string(),
                spans: *spans,
            };
            tasks.iter().map(one).collect::<Vec<_>>()
        };
        self.tenants.iter().flat_map(of).collect()
    }

    /// Reads what was stored.
    pub(super) fn load(stored: Vec<Stored>) -> Self {
        let mut totals = Self::default();
        for Stored { tenant, task, spans } in stored.into_iter().take(2 * MOST) {
            let tasks = totals.tenants.entry(tenant.into()).or_default();
            totals.tasks += usize::from(tasks.insert(task.into(), spans).is_none());
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn sum(flops: u64) -> Sum {
        Sum { flops, ..Sum::default() }
    }

    #[test]
    fn tasks_beyond_a_number_are_summed() {
        let mut totals = Totals::default();
        for task in 0..100_u64 {
            totals.add("acme", (&format!("t{task}"), day("2026-11-26")), &sum(task + 1));
        }
        let mut used = totals.of("acme", day("2026-11-26"));
        used.shorten(10);
        assert_eq!((used.today.len(), used.today["t99"].flops, used.today["t90"].flops), (11, 100, 91));
        assert_eq!(used.today["*"].flops, (1..=90).sum::<u64>());
        assert_eq!(used.this_month, used.today);
        used.shorten(11);
        assert_eq!(used.today.len(), 11);
    }

    #[test]
    fn days_and_months_end() {
        let mut totals = Totals::default();
        for (on, flops) in
            [("2026-10-31", 1), ("2026-11-01", 2), ("2026-11-26", 4), ("2026-10-30", 8), ("2026-09-01", 16)]
        {
            totals.add("acme", ("t", day(on)), &sum(flops));
        }
        let seen = |on: &str| {
            let used = totals.of("acme", day(on));
            let flops = |tasks: &BTreeMap<String, Sum>| tasks.get("t").map_or(0, |sum| sum.flops);
            [flops(&used.today), flops(&used.this_month), flops(&used.last_month)]
        };
        assert_eq!(seen("2026-11-26"), [4, 6, 9]);
        assert_eq!(seen("2026-11-27"), [0, 6, 9]);
        assert_eq!(seen("2026-12-01"), [0, 0, 6]);
        assert_eq!(seen("2027-01-01"), [0, 0, 0]);
        let again = Totals::load(totals.store());
        assert_eq!(again.of("acme", day("2026-11-26")), totals.of("acme", day("2026-11-26")));
        totals.forget(day("2027-01-01"));
        assert_eq!((totals.tenants.len(), totals.tasks), (0, 0));
    }
}
