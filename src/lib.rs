//! mimi-server: one resident vision-transformer backbone, thousands of tiny adapter packs.
//!
//! # Map, in reading order
//!
//! | module | holds | may use |
//! |---|---|---|
//! | `files` | writing so that a reader sees the old or the new file; looking at folders, change notices | nothing of ours |
//! | `errors` | an error and its causes in one line | nothing of ours |
//! | `text` | figures and columns as people read them | nothing of ours |
//! | `metrics` | every Prometheus series | nothing of ours |
//! | `traces` | spans of requests, sent by OTLP | nothing of ours |
//! | `journal` | append-only JSON lines: written, synced, rotated, mended, read | `files`, `errors`, `metrics` |
//! | `usage` | what each tenant used: counted, written, summed | `journal` and below |
//! | `access` | a line for each request, or for some: written, bounded | `journal` and below |
//! | `audit` | who did what: written, with a bound for failed keys | `journal` and below |
//! | `image` | bytes to pixels | nothing of ours |
//! | `backbone` | the frozen transformer as data: config, names of weights, sites, shapes | `image`, `files` |
//! | `graph` | graphs as values: operators, ViT, plans, cost, ONNX bytes | `backbone` and below |
//! | `adaptation` | what is trained beside the backbone, and what is served of it; one file each | `graph` and below |
//! | `pack` | what a task ships: manifest, checked reading, atomic writing | `adaptation` and below |
//! | `shelf` | where packs come from: pointers, blobs, copies on this disk, publishing | `pack` and below |
//! | `inspect` | tables of backbones and packs | `pack` and below |
//! | `runtime` | ONNX Runtime: environment, shared weights, programs | the pure modules |
//! | `import` | other people's checkpoints as backbones and packs; PyTorch's files, read without executing anything | `runtime` and below |
//! | `engine` | queue, batches, workers: rows in, logits out | `runtime` and below |
//! | `catalog` | which version of which task is live; resident packs | the pure modules |
//! | `reload` | new versions: read, check, compile, warm, publish | `engine`, `catalog` and below |
//! | `tenants` | who may use the server, and how much of it: keys, scopes, tasks, quotas | `engine` and below |
//! | `service` | the one way down, without a transport: asks, answers, admission, preparation, codes | `reload`, `tenants` and below |
//! | `oip` | the Open Inference Protocol without a transport: tensors to asks, answers to tensors | `service` and below |
//! | `http` | the HTTP door: routes, bodies, the one table of statuses | `oip` and below |
//! | `grpc` | the gRPC door: methods, messages, the one table of its statuses | `oip` and below |
//! | `serve` | composition root of serving | `http`, `grpc` and below |
//! | `train` | the offline trainer: data, methods, optimiser, measures, reports, studies | `engine` and below |
//! | `predict` | scoring folders of images, by an engine of this process or a running server | `serve`, `train` and below |
//! | `bench` | what this machine does: programs, batches, memory | `engine` and below |
//!
//! The binary adds `cli` (what was typed, the only reader of the environment) and `commands` (one file a
//! subcommand).
//!
//! # Invariants
//!
//! Each is held by a test (`tests/it/architecture.rs` and the files it names).
//!
//! 1. Only `runtime` names `ort` and is `unsafe`; only doors (`http`, `grpc`) know statuses; only `cli` reads the
//!    environment.
//! 2. `graph`, `adaptation`, `image` and the engine's `turns`, `queue`, `load`, `speed`,
//!    `batch`, `fork`, `programs` do no I/O and read no clock.
//! 3. Engine threads never await and never touch the disk; nothing is compiled on a request's path but
//!    before the first answer of a form that is new to the server.
//! 4. A request holds one `Arc<Pack>` from door to answer.
//! 5. A pack that fails to read, check or warm never replaces one that works; an error while looking never
//!    unpublishes.
//! 6. Metric labels come from the catalog, never from a request's text.
//! 7. A row's answer does not depend on its neighbours in the batch (1e-5 relative on CPU fp32).
//! 8. No global mutable state but ONNX Runtime's own environment, which is one a process; two servers live in
//!    one test process.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod errors;
pub mod files;
pub mod metrics;
pub mod text;
pub mod traces;

pub mod access;
pub mod audit;
pub mod journal;
pub mod usage;

pub mod adaptation;
pub mod backbone;
pub mod graph;
pub mod image;
pub mod inspect;
pub mod pack;
pub mod shelf;

pub mod import;
pub mod runtime;

pub mod catalog;
pub mod engine;
pub mod reload;
pub mod tenants;

pub mod oip;
pub mod service;

pub mod bench;
pub mod grpc;
pub mod http;
pub mod serve;
pub mod train;

pub mod predict;
