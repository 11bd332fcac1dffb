//! OTLP's messages, those parts that spans need. Numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.

use prost::{Message, Oneof};

use super::span::{Span as Ended, Value as Said};

/// What is posted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Float(f64),
}

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const KINDS: [i32; 2] = [1, 2];
/// `STATUS_CODE_ERROR`.
const FAILED: i32 = 2;

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// What a collector did not take.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// What a collector's answer says that it did not take. An answer in another form says nothing.
pub(super) fn refused(answer: &[u8]) -> Option<PartialSuccess> {
    let told = Response::decode(answer).ok()?.partial_success?;
    (told.rejected_spans > 0 || !told.error_message.is_empty()).then_some(told)
}

/// Spans of a server that these attributes describe.
pub(super) fn request(attributes: &[(String, String)], spans: Vec<Ended>) -> Vec<u8> {
    let attributes = attributes.iter().map(|(key, text)| pair(key, Value::Text(text.clone())));
    let scope = Scope { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(Span::from).collect() };
    let resource = Some(Resource { attributes: attributes.collect() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans: vec![scope_spans] }];
    Request { resource_spans }.encode_to_vec()
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

impl From<Said> for Value {
    fn from(said: Said) -> Self {
        match said {
            Said::Text(text) => Self::Text(text),
            Said::Int(number) => Self::Int(number),
            Said::Float(number) => Self::Float(number),
            Said::Bool(flag) => Self::Bool(flag),
        }
    }
}

impl From<Ended> for Span {
    fn from(ended: Ended) -> Self {
        let Ended { context, parent, state, name, is_request, start, end, attributes, links, is_failed } =
            ended;
        let link = |link: super::context::Context| Link {
            trace_id: link.trace.to_be_bytes().into(),
            span_id: link.span.to_be_bytes().into(),
        };
        Self {
            trace_id: context.trace.to_be_bytes().into(),
            span_id: context.span.to_be_bytes().into(),
            parent_span_id: parent.map(|parent| parent.to_be_bytes().into()).unwrap_or_default(),
            trace_state: state.map(|state| state.as_ref().to_owned()).unwrap_or_default(),
            name: name.to_owned(),
            kind: KINDS[usize::from(is_request)],
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: attributes.into_iter().map(|(key, value)| pair(key, value.into())).collect(),
            links: links.into_iter().map(link).collect(),
            status: is_failed.then_some(Status { code: FAILED }),
        }
    }
}
