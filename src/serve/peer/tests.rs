//! What a connection is doing, and when it is late.

use std::time::Duration;

use super::*;

#[test]
fn a_connection_is_what_its_busiest_request_is() {
    let start = Instant::now();
    let later = |s| start + Duration::from_secs(s);
    let peer = Peer::new(start);
    assert_eq!(peer.phase(), (Phase::Header, start));
    peer.entered(true, Stage::Body, later(1));
    assert_eq!(peer.phase(), (Phase::Body, later(1)));
    peer.entered(true, Stage::Working, later(2));
    assert_eq!(peer.phase(), (Phase::Working, later(2)));
    peer.moved(Stage::Working, Some(Stage::Answer), later(3));
    assert_eq!(peer.phase(), (Phase::Body, later(3)));
    peer.moved(Stage::Body, None, later(4));
    peer.moved(Stage::Answer, None, later(5));
    assert_eq!(peer.phase(), (Phase::Idle, later(5)));
    // A ping is no header.
    peer.received(later(6));
    assert_eq!(peer.phase(), (Phase::Idle, later(5)));
}

#[test]
fn f6_answers_that_nobody_takes_are_late_though_pings_are_written() {
    let start = Instant::now();
    let later = |s| start + Duration::from_secs(s);
    let limits = ConnectionLimits::default();
    let peer = Peer::new(start);
    peer.entered(true, Stage::Working, start);
    peer.moved(Stage::Working, Some(Stage::Answer), later(1));
    peer.wrote(Some(17), later(9));
    assert_eq!(peer.deadline(&limits), Some((later(1) + limits.write, Reason::WriteTimeout)));
    peer.wrote(Some(16_384), later(10));
    assert_eq!(peer.deadline(&limits), Some((later(10) + limits.write, Reason::WriteTimeout)));
    peer.moved(Stage::Answer, None, later(11));
    assert_eq!(peer.deadline(&limits), Some((later(11) + limits.idle, Reason::IdleTimeout)));
}

#[test]
fn what_is_late_is_told_by_phase() {
    let start = Instant::now();
    let limits = ConnectionLimits::default();
    let peer = Peer::new(start);
    assert_eq!(peer.deadline(&limits), Some((start + limits.header, Reason::HeaderTimeout)));
    peer.entered(false, Stage::Working, start);
    assert_eq!(peer.deadline(&limits), None);
    peer.moved(Stage::Working, None, start);
    assert_eq!(peer.deadline(&limits), Some((start + limits.idle, Reason::IdleTimeout)));
    peer.wrote(None, start);
    assert_eq!(peer.deadline(&limits), Some((start + limits.write, Reason::WriteTimeout)));
    peer.wrote(Some(1), start);
    peer.received(start);
    assert_eq!(peer.deadline(&limits), Some((start + limits.header, Reason::HeaderTimeout)));
}

#[test]
fn the_rest_of_a_body_may_come_until_the_next_request() {
    let start = Instant::now();
    let peer = Peer::new(start);
    peer.entered(false, Stage::Body, start);
    assert_eq!(peer.unwanted(), 0);
    peer.unheard();
    assert_eq!(peer.unwanted(), usize::MAX);
    peer.entered(false, Stage::Working, start);
    assert_eq!(peer.unwanted(), 0, "what comes is another request");
    peer.entered(true, Stage::Body, start);
    peer.unheard();
    assert_eq!(peer.unwanted(), 0, "HTTP/2 tells its client");
}

#[test]
fn the_rest_of_a_refused_header_may_come_up_to_a_bound() {
    let start = Instant::now();
    let peer = Peer::new(start);
    assert_eq!(peer.unwanted(), 0);
    peer.wrote(Some(100), start);
    assert_eq!(peer.unwanted(), HEADER_REST);
    peer.entered(false, Stage::Working, start);
    assert_eq!(peer.unwanted(), 0);
}
