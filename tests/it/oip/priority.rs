//! `priority`: who goes first among a tenant's own requests, by both doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use mimi_server::grpc::messages::InferParameter;
use mimi_server::grpc::messages::infer_parameter::ParameterChoice;
use mimi_server::serve::Server;
use prost::Message;
use serde_json::json;
use tonic::Code;

use super::{asked, infer, world};
use crate::grpc::hostile::{INFER, framed, send};
use crate::grpc::infer::encoded;
use crate::server::image;

/// Requests that keep the queue full.
const FLOOD: usize = 24;
/// Requests that are timed, of each priority by each door.
const TIMED: usize = 4;

async fn by_rest(app: &Router, priority: i64) -> u16 {
    let mut body = asked(&image("rgb.png"), &["labels"]);
    body["parameters"] = json!({"priority": priority});
    infer(app, "one", &body).await.status.as_u16()
}

async fn by_grpc(app: &Router, priority: i64) -> Code {
    let mut message = encoded("one", &["labels"]);
    let value = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(priority)) };
    message.parameters.insert("priority".into(), value);
    send(app, INFER, framed(&message.encode_to_vec(), false), &[]).await.code
}

/// How long requests of a priority take, one after the other, half of them by each door.
async fn time(app: &Router, priority: i64) -> Duration {
    let started = Instant::now();
    for _ in 0..TIMED {
        assert_eq!(by_rest(app, priority).await, 200);
        assert_eq!(by_grpc(app, priority).await, Code::Ok);
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_priority_waits_less_and_a_lower_one_is_served() {
    let world = world();
    let mut config = world.config();
    config.engine.max_batch = 1;
    let app = Server::build(config).await.unwrap().app();
    let over = Arc::new(AtomicBool::new(false));
    let flood = (0..FLOOD).map(|_| {
        let (app, over) = (app.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(by_rest(&app, 0).await, 200);
            }
        })
    });
    let flood: Vec<_> = flood.collect();
    // Where other work keeps the queue empty for a while, nobody waits.
    let mut tries = Vec::new();
    while tries.len() < 5 && tries.last().is_none_or(|(high, low)| *high * 2 >= *low) {
        tries.push((time(&app, 1).await, time(&app, 3).await));
    }
    over.store(true, Ordering::Relaxed);
    for one in flood {
        one.await.unwrap();
    }
    assert!(tries.last().is_some_and(|(high, low)| *high * 2 < *low), "{tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_that_there_are_not_are_refused() {
    let world = world();
    let app = world.server().await.app();
    for (priority, is_known) in
        [(0, true), (1, true), (2, true), (3, true), (4, false), (-1, false), (i64::MAX, false)]
    {
        let (status, code) = if is_known { (200, Code::Ok) } else { (400, Code::InvalidArgument) };
        assert_eq!(by_rest(&app, priority).await, status, "{priority}");
        assert_eq!(by_grpc(&app, priority).await, code, "{priority}");
    }
}
