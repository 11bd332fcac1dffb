//! Spans of `tracing` as spans of a trace.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::Context as Around;
use tracing_subscriber::registry::LookupSpan;

use super::context::{Context, some};
use super::export::Exporter;
use super::span::{Span, Value};

/// A request's own place. A span with it begins what is traced.
const PLACE: &str = "traceparent";
/// What other tracers say of a request's trace.
const STATE: &str = "tracestate";
/// The span of a request's client.
const PARENT: &str = "parent_span";
/// For a span that is told when it is over: how long ago it began, microseconds.
const AGO: &str = "ago_us";
/// And how long it took, microseconds.
const TOOK: &str = "took_us";
/// The status of a request's answer.
const STATUS: &str = "http.response.status_code";
/// The status of an answer by gRPC.
const GRPC: &str = "rpc.grpc.status_code";
/// Statuses of gRPC that are a server's failures: unknown, deadline exceeded, unimplemented, internal, unavailable and
/// data loss.
const GRPC_FAILURES: [u64; 6] = [2, 4, 12, 13, 14, 15];
/// The span that is of no request: it follows from rows of many, and is kept where one of them is.
const BATCH: &str = "batch";
/// Most attributes of a span.
const ATTRIBUTES: usize = 32;
/// Most links of a span.
const LINKS: usize = 128;
/// Longest text of an attribute, bytes.
const TEXT: usize = 512;

/// Keeps spans of sampled requests, and has them sent when they end.
pub struct Layer {
    exporter: Exporter,
}

impl Layer {
    /// A layer whose spans go to this exporter.
    pub fn new(exporter: Exporter) -> Self {
        Self { exporter }
    }
}

/// A span that has not ended.
struct Kept {
    span: Span,
    /// Whether it will be sent. A batch is once one of its rows is.
    is_sent: bool,
    took: Option<Duration>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, around: Around<'_, S>) {
        let Some(new) = around.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let name = new.name();
        let (context, parent, state) = if let Some(place) = fields.place {
            (place, fields.parent, fields.state)
        } else if name == BATCH {
            let (trace, span) = (some(rand::random::<u128>), some(rand::random::<u64>));
            (Context { trace, span, is_sampled: false }, None, None)
        } else {
            let above = new.parent().and_then(|above| {
                let extensions = above.extensions();
                let kept = extensions.get::<Kept>().filter(|kept| kept.is_sent)?;
                Some((kept.span.context, kept.span.state.clone()))
            });
            let Some((above, state)) = above else { return };
            (Context { span: some(rand::random::<u64>), ..above }, Some(above.span), state)
        };
        let start = now().saturating_sub(fields.ago.unwrap_or_default());
        let span = Span {
            context,
            parent,
            state,
            name,
            is_request: fields.place.is_some(),
            start: nanoseconds(start),
            end: 0,
            attributes: fields.attributes,
            links: Vec::new(),
            is_failed: false,
        };
        new.extensions_mut().insert(Kept { span, is_sent: context.is_sampled, took: fields.took });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, around: Around<'_, S>) {
        let Some(found) = around.span(id) else { return };
        let mut extensions = found.extensions_mut();
        let Some(kept) = extensions.get_mut::<Kept>() else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        kept.span.is_failed |= fields.is_failed;
        let room = ATTRIBUTES.saturating_sub(kept.span.attributes.len());
        kept.span.attributes.extend(fields.attributes.into_iter().take(room));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, around: Around<'_, S>) {
        let (Some(found), Some(before)) = (around.span(id), around.span(follows)) else { return };
        let before =
            before.extensions().get::<Kept>().filter(|kept| kept.is_sent).map(|kept| kept.span.context);
        let Some(before) = before else { return };
        let mut extensions = found.extensions_mut();
        if let Some(kept) = extensions.get_mut::<Kept>().filter(|kept| kept.span.links.len() < LINKS) {
            kept.span.links.push(before);
            kept.is_sent = true;
            kept.span.context.is_sampled = true;
        }
    }

    fn on_close(&self, id: Id, around: Around<'_, S>) {
        let Some(found) = around.span(&id) else { return };
        let Some(Kept { mut span, is_sent: true, took }) = found.extensions_mut().remove::<Kept>() else {
            return;
        };
        span.end = match took {
            Some(took) => span.start + nanoseconds(took),
            None => nanoseconds(now()).max(span.start),
        };
        self.exporter.send(span);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a span's fields say.
#[derive(Default)]
struct Fields {
    place: Option<Context>,
    parent: Option<u64>,
    state: Option<Arc<str>>,
    ago: Option<Duration>,
    took: Option<Duration>,
    is_failed: bool,
    attributes: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        if self.attributes.len() < ATTRIBUTES {
            self.attributes.push((field.name(), value));
        }
    }

    fn text(&mut self, field: &Field, mut text: String) {
        text.truncate(text.floor_char_boundary(TEXT));
        self.add(field, Value::Text(text));
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            PARENT => self.parent = Some(value),
            AGO => self.ago = Some(Duration::from_micros(value)),
            TOOK => self.took = Some(Duration::from_micros(value)),
            name => {
                self.is_failed |=
                    name == STATUS && value >= 500 || name == GRPC && GRPC_FAILURES.contains(&value);
                self.add(field, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
            }
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Int(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            PLACE => self.place = Context::parse(value),
            STATE => self.state = Some(value.into()),
            _ => self.text(field, value.to_owned()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing_subscriber::prelude::*;

    use super::*;

    /// Which spans have failed, in their order.
    #[derive(Clone, Default)]
    struct Failed(Arc<Mutex<Vec<bool>>>);

    impl<S: Subscriber> tracing_subscriber::Layer<S> for Failed {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Around<'_, S>) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.0.lock().unwrap().push(fields.is_failed);
        }
    }

    #[test]
    fn failures_of_the_server_fail_their_span() {
        let failed = Failed::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(failed.clone()), || {
            for status in [200_u16, 404, 429, 500, 503] {
                tracing::info_span!("request", http.response.status_code = status);
            }
            for status in 0_u16..=16 {
                tracing::info_span!(
                    "request",
                    http.response.status_code = 200,
                    rpc.grpc.status_code = status
                );
            }
        });
        let all = failed.0.lock().unwrap().clone();
        assert_eq!(all[..5], [false, false, false, true, true]);
        let statuses = all[5..].iter().enumerate().filter(|(_, failed)| **failed);
        assert_eq!(statuses.map(|(status, _)| status).collect::<Vec<_>>(), [2, 4, 12, 13, 14, 15]);
    }
}
