//! A running server, by HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use rustls::crypto::ring;
use ureq::Agent;
use ureq::http::{Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::asker::{Asker, Failure};
use super::local::ANSWER_BYTES;
use super::question::{Body, Reply};
use crate::files::pem;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How a server is asked.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Its address: `http://HOST:PORT` or `https://HOST:PORT`, and a path before `/v1` if it has one.
    pub url: String,
    /// The key that is shown.
    pub key: Option<String>,
    /// Authorities of its certificate, PEM; without them the system's.
    pub authorities: Option<std::path::PathBuf>,
    /// Connections that stay open.
    pub connections: usize,
    /// Longest wait for one answer.
    pub patience: Duration,
}

/// Asks a running server.
pub struct Remote {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Remote {
    /// Prepares to ask; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or the file of authorities cannot be used.
    pub fn new(options: RemoteOptions) -> Result<Self> {
        let RemoteOptions { url, key, authorities, connections, patience } = options;
        let parsed: Uri = url.parse().with_context(|| format!("--url {url}"))?;
        let is_http = matches!(parsed.scheme_str(), Some("http" | "https"));
        ensure!(
            is_http && parsed.host().is_some(),
            "--url {url}: expected http://HOST:PORT or https://HOST:PORT"
        );
        ensure!(parsed.query().is_none(), "--url {url}: expected an address without a question mark");
        let roots = match &authorities {
            None => RootCerts::PlatformVerifier,
            Some(file) => {
                let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
                let found = pem::certificates(file, &bytes)?;
                let found = found.iter().map(|one| Certificate::from_der(one).to_owned());
                RootCerts::new_with_certs(&found.collect::<Vec<_>>())
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A key must not follow to another host.
            .max_redirects(0)
            .max_idle_connections_per_host(connections)
            .max_idle_connections(connections)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(patience));
        Ok(Self { agent: config.build().into(), base: url.trim_end_matches('/').to_owned(), key })
    }
}

impl Asker for Remote {
    fn post(&self, target: &str, body: Body) -> BoxFuture<'_, Result<Reply, Failure>> {
        let (agent, url, key) = (self.agent.clone(), format!("{}{target}", self.base), self.key.clone());
        let asked = tokio::task::spawn_blocking(move || post(&agent, &url, key.as_deref(), &body));
        asked.map(|asked| asked.unwrap_or_else(|error| Err(Failure::Lasting(error.to_string())))).boxed()
    }
}

fn post(agent: &Agent, url: &str, key: Option<&str>, body: &Body) -> Result<Reply, Failure> {
    let mut request = agent.post(url).header(header::CONTENT_TYPE, &body.content_type);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let mut answer = request.send(&body.bytes[..]).map_err(|error| failure(url, &error))?;
    let status = answer.status().as_u16();
    let retry_after =
        answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let read = answer.body_mut().with_config().limit(ANSWER_BYTES as u64).read_to_vec();
    let body = read.map_err(|error| failure(url, &error))?;
    Ok(Reply { status, retry_after, body: Bytes::from(body) })
}

fn failure(url: &str, error: &ureq::Error) -> Failure {
    let told = format!("{url}: {error}");
    match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_) => Failure::Passing(told),
        _ => Failure::Lasting(told),
    }
}
