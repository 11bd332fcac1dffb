//! Traces: spans of requests, sent to a collector by OTLP.
//!
//! Code makes spans with `tracing`, as for the log. [`Layer`] keeps those that belong to a sampled request, and a thread
//! sends them, HTTP with protobuf. Without a collector nothing of this runs. Which request is sampled is decided where it
//! comes in, by [`Sampler`]; everything below inherits it.
//!
//! | file | holds |
//! |---|---|
//! | `context` | a request's place in a trace, as W3C `traceparent` tells it |
//! | `state` | what other tracers say of it, as W3C `tracestate` tells it |
//! | `sampler` | which requests are traced |
//! | `span` | a span that ended |
//! | `layer` | spans of `tracing` as spans of a trace |
//! | `messages` | OTLP's messages |
//! | `export` | the queue, and the thread that sends |

mod context;
mod export;
mod layer;
mod messages;
mod sampler;
mod span;
mod state;

pub use context::{Begun, Context};
pub use export::{ExportOptions, Exporter};
pub use layer::Layer;
pub use sampler::Sampler;
