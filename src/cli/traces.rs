//! What was typed after `serve` about traces, under the names that OpenTelemetry gives its variables.
//!
//! A cluster may set these variables for all its programs, so they are judged only where the server traces.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use mimi_server::traces::{ExportOptions, Sampler};

use super::named::Named;
use super::pairs::pairs;

/// Where a collector listens to traces, below its address.
const PATH: &str = "/v1/traces";
/// How spans are sent.
const PROTOCOL: &str = "http/protobuf";
/// The server's name in traces, where nothing else names it.
const NAME: &str = "mimi-server";
/// The attribute with the name.
const NAMED: &str = "service.name";

/// Options of `serve` about traces.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces (OpenTelemetry)")]
pub struct TraceArgs {
    /// Address of a collector that takes OTLP by HTTP, such as `http://collector:4318`. Spans go to `/v1/traces` there.
    /// Without it nothing is traced, and no other option here is looked at.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    otlp_endpoint: Option<String>,
    /// The whole address for traces, if it is another.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL", hide_env_values = true)]
    otlp_traces_endpoint: Option<String>,
    /// How spans are sent: `http/protobuf`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = PROTOCOL, value_name = "PROTOCOL")]
    otlp_protocol: String,
    /// The same for traces alone.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", value_name = "PROTOCOL")]
    otlp_traces_protocol: Option<String>,
    /// Headers of each post, such as a key: `NAME=VALUE,...`, percent-encoded.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    otlp_headers: String,
    /// The same for traces alone, instead of the others.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", hide_env_values = true)]
    otlp_traces_headers: Option<String>,
    /// Longest time of a post, milliseconds.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000")]
    otlp_timeout: String,
    /// The same for traces alone.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")]
    otlp_traces_timeout: Option<String>,
    /// The server's name in traces. Without it the attribute `service.name` counts, and then mimi-server.
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    otel_service_name: Option<String>,
    /// What else describes the server in traces: `NAME=VALUE,...`, percent-encoded.
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", default_value = "", hide_default_value = true)]
    otel_resource_attributes: String,
    /// Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these after `parentbased_`, which
    /// leaves it to clients that tell a `traceparent`.
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = "parentbased_always_on", value_name = "NAME")]
    traces_sampler: String,
    /// The part that `traceidratio` traces, 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO")]
    traces_sampler_arg: Option<String>,
    /// Most spans that wait to be sent. Further ones are dropped: a request never waits.
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", default_value = "2048")]
    traces_queue: String,
    /// Most spans of a post.
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default_value = "512")]
    traces_batch: String,
    /// Longest wait of a span for others, milliseconds.
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", default_value = "5000")]
    traces_delay: String,
    /// Who gets spans: `otlp`, or `none` to trace nothing.
    #[arg(long, env = "OTEL_TRACES_EXPORTER", default_value = "otlp", value_name = "NAME")]
    traces_exporter: String,
    /// Trace nothing, whatever else is set.
    #[arg(long, env = "OTEL_SDK_DISABLED")]
    otel_sdk_disabled: bool,
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
    /// When it does, and a variable's value has not the form that OpenTelemetry gives it.
    pub fn traces(&self) -> Result<Option<Traces>> {
        let is_off = self.otel_sdk_disabled || self.traces_exporter == "none";
        let Some(endpoint) = self.endpoint().filter(|_| !is_off) else { return Ok(None) };
        Named("--traces-exporter", "OTEL_TRACES_EXPORTER").one_of(&self.traces_exporter, "otlp")?;
        let export = ExportOptions {
            endpoint: endpoint?,
            headers: self.headers()?,
            resource: self.resource()?,
            timeout: self.timeout()?,
            queue: Named("--traces-queue", "OTEL_BSP_MAX_QUEUE_SIZE")
                .number(&self.traces_queue, 1..=1 << 20)? as usize,
            batch: Named("--traces-batch", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
                .number(&self.traces_batch, 1..=1 << 16)? as usize,
            delay: Duration::from_millis(
                Named("--traces-delay", "OTEL_BSP_SCHEDULE_DELAY").number(&self.traces_delay, 1..=600_000)?,
            ),
        };
        self.check_protocol()?;
        Ok(Some(Traces { sampler: self.sampler()?, export }))
    }

    /// Where to, if somewhere. An address may hold a password, so no error tells it.
    fn endpoint(&self) -> Option<Result<String>> {
        let (text, Named(option, variable), path) = match (&self.otlp_traces_endpoint, &self.otlp_endpoint) {
            (Some(whole), _) => {
                (whole, Named("--otlp-traces-endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), "")
            }
            (None, Some(base)) => (base, Named("--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), PATH),
            (None, None) => return None,
        };
        if !is_address(text) {
            return Some(Err(anyhow!(
                "{option} or {variable}: expected a collector's address, http:// or https://"
            )));
        }
        let base = if path.is_empty() { text } else { text.trim_end_matches('/') };
        Some(Ok(format!("{base}{path}")))
    }

    fn check_protocol(&self) -> Result<()> {
        match &self.otlp_traces_protocol {
            Some(own) => {
                Named("--otlp-traces-protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").one_of(own, PROTOCOL)
            }
            None => {
                Named("--otlp-protocol", "OTEL_EXPORTER_OTLP_PROTOCOL").one_of(&self.otlp_protocol, PROTOCOL)
            }
        }
    }

    fn timeout(&self) -> Result<Duration> {
        let (text, named) = match &self.otlp_traces_timeout {
            Some(own) => (own, Named("--otlp-traces-timeout", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")),
            None => (&self.otlp_timeout, Named("--otlp-timeout", "OTEL_EXPORTER_OTLP_TIMEOUT")),
        };
        Ok(Duration::from_millis(named.number(text, 1..=600_000)?))
    }

    /// Headers that HTTP can carry. Their values are secrets.
    fn headers(&self) -> Result<Vec<(String, String)>> {
        let (text, variable) = match &self.otlp_traces_headers {
            Some(own) => (own, "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
            None => (&self.otlp_headers, "OTEL_EXPORTER_OTLP_HEADERS"),
        };
        let found = pairs(variable, text)?;
        for (at, (name, value)) in found.iter().enumerate() {
            let at = at + 1;
            ensure!(is_name(name), "{variable}: the name of header {at} cannot be sent by HTTP");
            ensure!(is_value(value), "{variable}: the value of header {at}, {name}, cannot be sent by HTTP");
        }
        Ok(found)
    }

    fn resource(&self) -> Result<Vec<(String, String)>> {
        let named = "--otel-resource-attributes or OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = pairs(named, &self.otel_resource_attributes)?;
        if let Some(name) = &self.otel_service_name {
            resource.retain(|(key, _)| key != NAMED);
            resource.push((NAMED.into(), name.clone()));
        } else if !resource.iter().any(|(key, _)| key == NAMED) {
            resource.push((NAMED.into(), NAME.into()));
        }
        resource.push(("service.version".into(), env!("CARGO_PKG_VERSION").into()));
        Ok(resource)
    }

    fn sampler(&self) -> Result<Sampler> {
        let argument = self.traces_sampler_arg.as_deref();
        if let Some(text) = argument {
            let is_one = text.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio));
            ensure!(is_one, Named("--traces-sampler-arg", "OTEL_TRACES_SAMPLER_ARG").wrong(text, "0 to 1"));
        }
        let found = Sampler::named(&self.traces_sampler, argument);
        found.map_err(|reason| {
            let Named(option, variable) = Named("--traces-sampler", "OTEL_TRACES_SAMPLER");
            anyhow!("{option} or {variable}={}: {reason}", self.traces_sampler)
        })
    }
}

/// Whether a text is an address with a host.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// Whether HTTP can carry this as a header's name: a token of RFC 9110.
fn is_name(text: &str) -> bool {
    let is_sign = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_sign)
}

/// Whether HTTP can carry this as a header's value.
fn is_value(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        traces: TraceArgs,
    }

    const ON: &str = "--otlp-endpoint=http://me:secret@a:1/";

    fn read(typed: &[&str]) -> Result<Option<Traces>> {
        Typed::try_parse_from([&["serve"], typed].concat()).unwrap().traces.traces()
    }

    fn traces(typed: &[&str]) -> Traces {
        read(&[&[ON], typed].concat()).unwrap().unwrap()
    }

    #[test]
    fn settings_are_judged_only_where_something_is_traced() {
        for wrong in [
            "--otlp-protocol=grpc",
            "--otlp-traces-protocol=grpc",
            "--otlp-timeout=x",
            "--otlp-traces-timeout=0",
            "--otlp-headers=a b=secret",
            "--otlp-headers=a=secret%0A",
            "--otlp-traces-headers=a=secret%0A",
            "--otel-resource-attributes=secret",
            "--traces-sampler=jaeger_remote",
            "--traces-sampler-arg=2",
            "--traces-queue=0",
            "--traces-exporter=zipkin",
            "--otlp-traces-endpoint=me:secret@a:1",
        ] {
            let error = read(&[ON, wrong]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("OTEL_") && !error.contains("secret"), "{wrong}: {error}");
            for off in ["--traces-exporter=none", "--otel-sdk-disabled"] {
                let is_exporter =
                    wrong.starts_with("--traces-exporter") && off.starts_with("--traces-exporter");
                assert!(is_exporter || read(&[ON, wrong, off]).unwrap().is_none(), "{wrong} {off}");
            }
            assert!(wrong.contains("-endpoint") || read(&[wrong]).unwrap().is_none(), "{wrong}");
        }
    }

    #[test]
    fn traces_alone_may_be_sent_otherwise() {
        let export = traces(&["--otlp-protocol=grpc", "--otlp-traces-protocol=http/protobuf"]).export;
        assert_eq!(export.endpoint, "http://me:secret@a:1/v1/traces");
        let general = ["--otlp-headers=a=1", "--otlp-timeout=7"];
        let export =
            traces(&[&general[..], &["--otlp-traces-headers=b=2", "--otlp-traces-timeout=8"]].concat());
        let ExportOptions { headers, timeout, .. } = export.export;
        assert_eq!((headers, timeout), (vec![("b".into(), "2".into())], Duration::from_millis(8)));
    }

    #[test]
    fn the_name_is_the_variables_or_the_attributes() {
        let name = |typed: &[&str]| {
            let resource = traces(typed).export.resource.into_iter();
            resource.filter(|(key, _)| key == NAMED).map(|(_, name)| name).collect::<Vec<_>>()
        };
        let attribute = "--otel-resource-attributes=service.name=shop";
        assert_eq!(name(&[]), [NAME]);
        assert_eq!(name(&[attribute]), ["shop"]);
        assert_eq!(name(&[attribute, "--otel-service-name=till"]), ["till"]);
    }
}
