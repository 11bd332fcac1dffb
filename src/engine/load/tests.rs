//! Places, turns and who is about.

use super::*;

fn share(flow: u64, weight: u32) -> Share {
    Share::new(Flow::new(flow), weight)
}

fn want(task: &str, flops: u64) -> Want {
    let Ok(task) = task.parse() else { unreachable!("{task} is a name") };
    Want { task, flops }
}

/// Takes single places until it is refused, and says how many it got.
fn fill(load: &mut Load, share: Share) -> usize {
    let mut got = 0;
    while load.places(share, 1).is_ok() {
        load.enter(share, Instant::now());
        got += 1;
    }
    got
}

#[test]
fn the_shared_flow_alone_has_all_places_and_others_leave_some() {
    let mut load = Load::new(128);
    assert_eq!(fill(&mut load, Share::EVERYBODY), 128);
    assert_eq!(load.places(Share::EVERYBODY, 1), Err(128));
    for weight in [1, 1000] {
        let mut load = Load::new(128);
        assert_eq!(fill(&mut load, share(1, weight)), 103, "four fifths");
        assert_eq!(load.places(share(1, weight), 1), Err(103));
        assert!(load.places(share(2, 1), 2).is_ok(), "a light flow gets in");
        assert!(load.places(share(2, 1), 25).is_err(), "and does not take what is kept for others");
    }
    assert_eq!(fill(&mut Load::new(1), share(1, 1)), 1);
}

#[test]
fn the_servers_own_rows_take_nothing_from_the_shared_flow() {
    let mut load = Load::new(8);
    load.enter(Share::EVERYBODY, Instant::now());
    load.enter(Share::INTERNAL, Instant::now());
    assert!(!load.is_mixed(Instant::now()));
    load.leave(Share::INTERNAL, None);
    assert_eq!(fill(&mut load, Share::EVERYBODY), 7);
}

#[test]
fn many_flows_that_want_all_leave_a_place_for_the_next() {
    let mut load = Load::new(128);
    for flow in 1..=8 {
        fill(&mut load, share(flow, 1));
        assert!(load.places(share(flow + 1, 1), 1).is_ok(), "after {flow}");
    }
}

#[test]
fn a_light_weight_has_fewer_places_beside_a_heavy_one() {
    let mut load = Load::new(128);
    load.enter(share(1, 4), Instant::now());
    let light = fill(&mut load, share(2, 1));
    assert!((60..70).contains(&light), "{light}");
    assert!(load.places(share(1, 4), 40).is_ok());
}

#[test]
fn a_turn_comes_after_the_own_backlog_and_as_much_of_others_by_weight() {
    let mut load = Load::new(64);
    let mut add = |flow: Share, task: &str, flops| {
        load.enter(flow, Instant::now());
        load.charge(flow, &want(task, flops));
    };
    add(share(1, 1), "a", 1000);
    add(share(1, 1), "b", 100);
    add(share(2, 2), "c", 150);
    add(share(3, 2), "c", 10_000);
    let wants = ["a", "b", "new"].map(|name| want(name, 10));
    let before = |load: &Load, flow, range: std::ops::Range<usize>| load.before(flow, wants[range].iter());
    // 1000 of its own, 100 of the other task, 150 of one flow, and of the other 2 for each 1.
    assert_eq!(before(&load, share(1, 1), 0..1), 1100 + 150 + 2200);
    assert_eq!(before(&load, share(1, 1), 1..2), 200 + 150 + 400);
    assert_eq!(before(&load, share(1, 1), 0..3), 0, "a task that waits for nobody comes first");
    assert_eq!(before(&load, share(9, 1), 0..1), 0, "nor does a flow that has nothing in flight wait");
    load.leave(share(1, 1), Some(&want("a", 1000)));
    load.leave(share(1, 1), Some(&want("b", 100)));
    assert_eq!((before(&load, share(1, 1), 0..1), load.free(), load.flops()), (0, 62, 10_150));
}

#[test]
fn flows_are_about_for_a_while() {
    let (mut load, start) = (Load::new(8), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    for (second, flow, is_mixed) in
        [(0, 1, false), (1, 1, false), (2, 2, true), (3, 2, true), (7, 2, false), (8, 1, true)]
    {
        load.enter(share(flow, 1), at(second));
        load.leave(share(flow, 1), None);
        assert_eq!(load.is_mixed(at(second)), is_mixed, "{second}");
    }
}

#[test]
fn a_turn_comes_before_what_is_less_urgent_and_after_what_may_pass() {
    let mut load = Load::new(64);
    for (priority, task, flops) in [
        (Priority::High, "a", 30),
        (Priority::Usual, "a", 1000),
        (Priority::Usual, "b", 7),
        (Priority::Low, "a", 5),
    ] {
        let share = share(1, 1).at(priority);
        load.enter(share, Instant::now());
        load.charge(share, &want(task, flops));
    }
    let mine = [want("a", 10)];
    let before = |load: &Load, priority| load.before(share(1, 1).at(priority), mine.iter());
    assert_eq!(before(&load, Priority::High), 30);
    assert_eq!(before(&load, Priority::Usual), 1007 + 30);
    // Of what is more urgent no more passes than a row that waits lets pass.
    assert_eq!(before(&load, Priority::Low), 5 + PATIENCE as u128 * 15);
    load.leave(share(1, 1), Some(&want("a", 1000)));
    assert_eq!(before(&load, Priority::Low), 5 + 37);
    assert_eq!(before(&load, Priority::High), 30, "only what left is gone");
}
