//! Random interleavings of charging, flushing, failing, crashing and starting again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mimi_server::usage::{By, Keeper, Range, Sum, bill};
use proptest::prelude::*;

use super::{billed, flops, log, metrics, summed};
use crate::journal::{Disk, Faults, at};

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Charge { tenant: u8, task: u8, flops: u32 },
    Tick { after: u32 },
    Full { room: u8 },
    SyncFails,
    Healed,
    Killed,
    PowerLost { kept: u8 },
    Restarted,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..4_u8, 0..4_u8, 1..1000_u32).prop_map(|(tenant, task, flops)| Step::Charge { tenant, task, flops }),
        // Milliseconds; now and then hours, so that days and months end.
        8 => prop_oneof![8 => 1..3000_u32, 1 => 0..200_000_000_u32].prop_map(|after| Step::Tick { after }),
        1 => any::<u8>().prop_map(|room| Step::Full { room }),
        1 => Just(Step::SyncFails),
        2 => Just(Step::Healed),
        1 => Just(Step::Killed),
        1 => any::<u8>().prop_map(|kept| Step::PowerLost { kept }),
        1 => Just(Step::Restarted),
    ]
}

/// FLOPs by tenant and task.
type Flops = BTreeMap<(String, String), u64>;

/// A server on a disk, and what is known of it.
struct World {
    dir: tempfile::TempDir,
    disk: Disk,
    now: Timestamp,
    server: Option<Keeper>,
    /// What was charged since the first start.
    charged: Flops,
    /// What was charged when the last flush ended well.
    flushed: Flops,
    /// What was charged when the last flush ended with everything on the disk.
    synced: Flops,
    /// What crashes took away: at most this may be missing.
    lost: u64,
}

fn total(flops: &Flops) -> u64 {
    flops.values().sum()
}

impl World {
    fn new() -> Self {
        let none = Flops::new;
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            disk: Disk::default(),
            now: at("2026-11-28T22:00:00Z"),
            server: None,
            charged: none(),
            flushed: none(),
            synced: none(),
            lost: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let log = log(self.dir.path(), self.disk.clone());
        self.server = Some(Keeper::open(Some(log), 2, &metrics(), self.now).unwrap());
        // Whatever an earlier process left is put on the disk.
        self.disk.settle();
        self.agrees();
    }

    /// What a started server tells is what the log says.
    fn agrees(&self) {
        let server = self.server.as_ref().unwrap();
        let first: jiff::civil::Date = self.now.strftime("%Y-%m-01").to_string().parse().unwrap();
        let from: Timestamp = format!("{first}T00:00:00Z").parse().unwrap();
        let bill = bill(self.dir.path(), Range { from, to: Timestamp::MAX }, By::Task).unwrap();
        for tenant in 0..4 {
            let used = server.of(&format!("tenant-{tenant}"), self.now).this_month;
            let billed = bill.rows.iter().filter(|(row, _)| row.tenant == format!("tenant-{tenant}"));
            let billed: BTreeMap<String, Sum> =
                billed.map(|(row, sum)| (row.part.clone().unwrap(), *sum)).collect();
            assert_eq!(used, billed);
        }
    }

    fn tick(&mut self, after: u32) {
        self.now += SignedDuration::from_millis(after.into());
        let server = self.server.as_mut().unwrap();
        server.tick(self.now);
        if server.is_flushed() {
            self.flushed = self.charged.clone();
            if server.is_settled() {
                self.synced = self.charged.clone();
            }
        }
    }

    /// Whatever the crash took away was charged since `kept`.
    fn crash(&mut self, kept: Flops) {
        self.server = None;
        self.lost += total(&self.charged) - total(&kept);
        self.disk.set(Faults::heal);
        self.charged_is_what_is_there();
    }

    /// What is gone is gone: from here on it is not expected, but never more than was charged is there.
    fn charged_is_what_is_there(&mut self) {
        let there = self.there();
        for (who, flops) in &there {
            assert!(flops <= &self.charged[who], "{who:?}: {flops} of {} charged", self.charged[who]);
        }
        let missing = total(&self.charged) - total(&there);
        assert!(missing <= self.lost, "{missing} missing, at most {} may be", self.lost);
        (self.charged, self.lost) = (there, 0);
        (self.flushed, self.synced) = (self.charged.clone(), self.charged.clone());
    }

    fn there(&self) -> Flops {
        let bill = bill(self.dir.path(), super::ALL, By::Task).unwrap();
        bill.rows.into_iter().map(|(row, sum)| ((row.tenant, row.part.unwrap()), sum.flops)).collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Charge { tenant, task, flops: cost } => {
                let (tenant, task) = (format!("tenant-{tenant}"), format!("task-{task}"));
                self.server.as_ref().unwrap().charge(&billed(&tenant, &task), &flops(cost.into()));
                *self.charged.entry((tenant, task)).or_default() += u64::from(cost);
            }
            Step::Tick { after } => self.tick(after),
            Step::Full { room } => self.disk.set(|faults| faults.room = Some(room.into())),
            Step::SyncFails => self.disk.set(|faults| faults.sync = true),
            Step::Healed => self.disk.set(Faults::heal),
            Step::Killed => {
                let kept = self.flushed.clone();
                self.crash(kept);
                self.start();
            }
            Step::PowerLost { kept } => {
                self.server = None;
                self.disk.lose_power(kept);
                let synced = self.synced.clone();
                self.crash(synced);
                self.start();
            }
            Step::Restarted => {
                self.disk.set(Faults::heal);
                self.server.as_mut().unwrap().finish(self.now);
                self.server = None;
                assert_eq!(self.there(), self.charged);
                self.charged_is_what_is_there();
                self.start();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn nothing_is_charged_twice_and_a_crash_loses_only_the_last_moment(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Restarted);
        prop_assert_eq!(summed(world.dir.path(), By::Tenant).all.flops, total(&world.charged));
    }
}
