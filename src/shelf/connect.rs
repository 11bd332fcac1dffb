//! From an address to a store. Credentials come as settings, which are never shown.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt;

use super::error::Error;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest silence within an answer.
const READ: Duration = Duration::from_secs(5);
/// Most repetitions of a request, within [`RETRY`].
const RETRIES: usize = 2;
/// Time after which a request is not repeated.
const RETRY: Duration = Duration::from_secs(5);

/// Names and values of a cloud's environment: credentials, region, endpoint.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({} values)", self.0.len())
    }
}

impl Settings {
    /// Settings by the names that their cloud has for them, such as `AWS_REGION`.
    pub fn new(named: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(named.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    /// Those that say where a store is, a line each, sorted; no secret is among them.
    pub(super) fn places(&self) -> String {
        let says = |name: &str| {
            name.ends_with("endpoint") || name.ends_with("endpoint_url") || name.ends_with("account_name")
        };
        let mut places: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| says(name))
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        places.sort();
        places.concat()
    }

    fn of(&self, cloud: &str) -> impl Iterator<Item = (&str, &str)> {
        let own = self.0.iter().filter(move |(name, _)| name.starts_with(cloud));
        own.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A store, and where packs are in it.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    pub(super) is_writable: bool,
}

/// Whether an address is one of a store rather than a folder.
pub fn is_store(address: &str) -> bool {
    address.contains("://")
}

/// Opens the store at an address such as `s3://BUCKET/PREFIX`. Nothing is asked of it yet.
///
/// # Errors
/// [`Error::Address`] when the address is not one, or a setting is missing or wrong.
pub(super) fn connect(address: &str, settings: &Settings) -> Result<Connected, Error> {
    let wrong = |reason: String| Error::Address { address: shown(address), reason };
    let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong("it has no scheme".into()))?;
    if rest.contains(['@', '?', '#']) {
        return Err(wrong(
            "it must not have a user, a query or a fragment: credentials come by the environment".into(),
        ));
    }
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err(wrong("it names no bucket or host".into()));
    }
    let prefix = Path::parse(prefix.trim_matches('/')).map_err(|e| wrong(e.to_string()))?;
    let built = match scheme {
        "s3" | "s3a" => s3(host, settings),
        "gs" => google(host, settings),
        "az" | "azure" => azure(host, settings),
        "http" | "https" => plain(&format!("{scheme}://{host}"), scheme == "http"),
        _ => return Err(wrong("known are s3://, gs://, az://, https:// and http://".into())),
    };
    let store = built.map_err(|e| wrong(crate::errors::once(&e)))?;
    Ok(Connected { store, prefix, is_writable: !scheme.starts_with("http") })
}

/// An address without what may be a secret in it.
pub(super) fn shown(address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let (scheme, rest) = address[..end].split_once("://").unwrap_or(("", &address[..end]));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    crate::text::brief(&if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") })
}

fn s3(bucket: &str, settings: &Settings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let named = settings.of("aws_").filter_map(|(name, value)| Some((name.parse().ok()?, value)));
    let builder =
        named.fold(AmazonS3Builder::new(), |builder, (name, value)| builder.with_config(name, value));
    let builder = builder.with_bucket_name(bucket).with_retry(retries());
    Ok(Arc::new(builder.with_http_connector(Connector).build()?))
}

fn google(bucket: &str, settings: &Settings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let named = settings.of("google_").filter_map(|(name, value)| Some((name.parse().ok()?, value)));
    let builder = named
        .fold(GoogleCloudStorageBuilder::new(), |builder, (name, value)| builder.with_config(name, value));
    let builder = builder.with_bucket_name(bucket).with_retry(retries());
    Ok(Arc::new(builder.with_http_connector(Connector).build()?))
}

fn azure(container: &str, settings: &Settings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let named = settings.of("azure_").filter_map(|(name, value)| Some((name.parse().ok()?, value)));
    let builder =
        named.fold(MicrosoftAzureBuilder::new(), |builder, (name, value)| builder.with_config(name, value));
    let builder = builder.with_container_name(container).with_retry(retries());
    Ok(Arc::new(builder.with_http_connector(Connector).build()?))
}

fn plain(url: &str, allows_http: bool) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options = ClientOptions::new().with_allow_http(allows_http);
    let builder = HttpBuilder::new().with_url(url).with_client_options(options).with_retry(retries());
    Ok(Arc::new(builder.with_http_connector(Connector).build()?))
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(50), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY }
}

/// Connections by this program's own TLS: no other crypto library, no setting of the whole process.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
            store: "HTTP",
            source,
        };
        let allows_http =
            options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|e| failed(e.into()))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.with_no_client_auth())
            .https_only(!allows_http)
            // An address that leads elsewhere is not followed: what it leads to was not asked for.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .user_agent(concat!("mimi-server/", env!("CARGO_PKG_VERSION")));
        Ok(HttpClient::new(client.build().map_err(|e| failed(e.into()))?))
    }
}
