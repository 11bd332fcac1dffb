//! What was typed after `serve` about traces, under the names that OpenTelemetry gives its variables.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum, value_parser};
use mimi_server::traces::{ExportOptions, Sampler};

/// Where a collector listens to traces, below its address.
const PATH: &str = "/v1/traces";

/// Options of `serve` about traces.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces (OpenTelemetry)")]
pub struct TraceArgs {
    /// Address of a collector that takes OTLP by HTTP, such as `http://collector:4318`. Spans go to `/v1/traces` there.
    /// Without it nothing is traced.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = address)]
    otlp_endpoint: Option<String>,
    /// The whole address for traces, if it is another.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL", value_parser = address)]
    otlp_traces_endpoint: Option<String>,
    /// How spans are sent.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf",
        value_name = "PROTOCOL"
    )]
    otlp_protocol: Protocol,
    /// Headers of each post, such as a key: `NAME=VALUE,...`, percent-encoded.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    otlp_headers: String,
    /// Longest time of a post, milliseconds.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=600_000))]
    otlp_timeout: u64,
    /// The server's name in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "mimi-server", value_name = "NAME")]
    otel_service_name: String,
    /// What else describes the server in traces: `NAME=VALUE,...`, percent-encoded.
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", default_value = "", hide_default_value = true, value_parser = attributes)]
    otel_resource_attributes: String,
    /// Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these after `parentbased_`, which
    /// leaves it to clients that tell a `traceparent`.
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_always_on",
        value_name = "NAME",
        value_parser = ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"],
        hide_possible_values = true
    )]
    traces_sampler: String,
    /// The part that `traceidratio` traces, 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO", value_parser = ratio)]
    traces_sampler_arg: Option<String>,
    /// Most spans that wait to be sent. Further ones are dropped: a request never waits.
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", default_value_t = 2048, value_parser = value_parser!(u32).range(1..=1 << 20))]
    traces_queue: u32,
    /// Most spans of a post.
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default_value_t = 512, value_parser = value_parser!(u32).range(1..=1 << 16))]
    traces_batch: u32,
    /// Longest wait of a span for others, milliseconds.
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", default_value_t = 5000, value_parser = value_parser!(u64).range(1..=600_000))]
    traces_delay: u64,
    /// Trace nothing, whatever else is set.
    #[arg(long, env = "OTEL_SDK_DISABLED")]
    otel_sdk_disabled: bool,
}

/// Protocols by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    /// HTTP with protobuf.
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

/// How a server traces.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Which requests.
    pub sampler: Sampler,
    /// Where to.
    pub export: ExportOptions,
}

impl TraceArgs {
    /// How the server traces, if it does.
    ///
    /// # Errors
    /// When a variable's value has not the form that OpenTelemetry gives it.
    pub fn traces(&self) -> Result<Option<Traces>> {
        let Self { otlp_protocol: Protocol::HttpProtobuf, .. } = self;
        let below = self.otlp_endpoint.as_ref().map(|base| format!("{}{PATH}", base.trim_end_matches('/')));
        let endpoint = self.otlp_traces_endpoint.clone().or(below);
        let Some(endpoint) = endpoint.filter(|_| !self.otel_sdk_disabled) else { return Ok(None) };
        let sampler = Sampler::named(&self.traces_sampler, self.traces_sampler_arg.as_deref());
        let sampler = sampler.map_err(|reason| anyhow!("OTEL_TRACES_SAMPLER: {reason}"))?;
        let mut resource = pairs("OTEL_RESOURCE_ATTRIBUTES", &self.otel_resource_attributes)?;
        resource.retain(|(name, _)| name != "service.name");
        resource.push(("service.name".into(), self.otel_service_name.clone()));
        resource.push(("service.version".into(), env!("CARGO_PKG_VERSION").into()));
        let export = ExportOptions {
            endpoint,
            headers: pairs("OTEL_EXPORTER_OTLP_HEADERS", &self.otlp_headers)?,
            resource,
            timeout: Duration::from_millis(self.otlp_timeout),
            queue: self.traces_queue as usize,
            batch: self.traces_batch as usize,
            delay: Duration::from_millis(self.traces_delay),
        };
        Ok(Some(Traces { sampler, export }))
    }
}

fn address(text: &str) -> Result<String, String> {
    let is_one = text.starts_with("http://") || text.starts_with("https://");
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("expected a collector's address, http:// or https://".into())
    }
}

fn ratio(text: &str) -> Result<String, String> {
    let is_one = text.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio));
    if is_one { Ok(text.to_owned()) } else { Err("expected 0 to 1".into()) }
}

/// Attributes as they are typed, which have the form of pairs.
fn attributes(text: &str) -> Result<String, String> {
    pairs("attributes", text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// `NAME=VALUE,...`, percent-encoded.
fn pairs(variable: &str, text: &str) -> Result<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate();
    let pair = |(at, part): (usize, &str)| {
        // Values may be secrets: an error names their place alone.
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| anyhow!("{variable}: part {} has no =; expected NAME=VALUE,...", at + 1))?;
        let value = decoded(value.trim())
            .ok_or_else(|| anyhow!("{variable}: the value of {name} is not percent-encoded text"))?;
        Ok((name.trim().to_owned(), value))
    };
    parts.map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_opentelemetry_writes_them() {
        let read = |text: &str| pairs("X", text);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("").ok(), Some(vec![]));
        assert_eq!(read("a=1, b = x%20y ,").ok(), Some(vec![pair("a", "1"), pair("b", "x y")]));
        for (wrong, told) in
            [("secret", "part 1"), ("a=1,b", "part 2"), ("a=%z9", "a"), ("a=%ff", "a"), ("a=%4", "a")]
        {
            let error = read(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }
}
