//! mimi-server: one resident vision-transformer backbone, thousands of tiny adapter packs.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backbone;
pub mod catalog;
pub mod engine;
pub mod files;
pub mod graph;
pub mod http;
pub mod image;
pub mod inspect;
pub mod metrics;
pub mod pack;
pub mod reload;
pub mod runtime;
pub mod serve;
