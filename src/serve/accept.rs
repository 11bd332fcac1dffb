//! Taking connections in, within the limits, and seeing them out.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use super::connection::{Client, Ending, Host, protocol};
use super::limits::ConnectionLimits;
use super::register::Register;
use super::tls::Gate;
use crate::metrics::Metrics;

/// Pause after a failure to accept that closing a connection does not cure.
const PAUSE: Duration = Duration::from_millis(100);
/// Shortest time between two lines of the log about failures to accept.
const QUIET: Duration = Duration::from_secs(10);
/// Connections in the system's backlog that the server still serves when it ends.
const LAST: usize = 1024;
/// Longest wait for connections to close once they were told.
const CLOSING: Duration = Duration::from_secs(1);

/// Serves connections of one listener.
pub(super) struct Acceptor {
    host: Arc<Host>,
    metrics: Arc<Metrics>,
    accepted: u64,
    complained: Option<Instant>,
}

impl Acceptor {
    /// Serves `app`, at most `most` connections at once, with TLS where there is a gate.
    pub(super) fn new(
        app: Router,
        limits: ConnectionLimits,
        most: usize,
        gate: Option<Gate>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let register = Register::new(most, gate.is_some(), Arc::clone(&metrics));
        let (protocol, ending) = (protocol(&limits), Ending::default());
        let host = Arc::new(Host { app, limits, protocol, register, gate, ending });
        Self { host, metrics, accepted: 0, complained: None }
    }

    /// Takes connections in until `stop` resolves, and those that the system had taken in by then.
    pub(super) async fn accept(&mut self, listener: &TcpListener, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => self.admit(socket, from).await,
                Err(error) => self.refused(&error).await,
            }
        }
        for _ in 0..LAST {
            let Some(Ok((socket, from))) = listener.accept().now_or_never() else { break };
            self.admit(socket, from).await;
        }
    }

    async fn admit(&mut self, socket: TcpStream, from: SocketAddr) {
        self.accepted += 1;
        // Without a place the socket is closed here.
        if let Some(place) = self.host.register.place(self.accepted).await {
            tokio::spawn(
                Arc::clone(&self.host).serve(Client { socket, address: from.ip().to_canonical() }, place),
            );
        }
    }

    /// Waits after a failure to accept, which neither ends the server nor keeps it busy.
    async fn refused(&mut self, error: &Error) {
        let client = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused];
        if client.contains(&error.kind()) {
            return;
        }
        self.metrics.connections.accept_failures.inc();
        if self.complained.is_none_or(|at| at.elapsed() > QUIET) {
            self.complained = Some(Instant::now());
            let open = self.host.register.len();
            tracing::error!(%error, open, "a connection cannot be accepted");
        }
        // Descriptors may be used up: closing a connection gives one back.
        if !self.host.register.make_room().await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Answers what was accepted, until `deadline`; then closes what is left. Returns whether all was answered.
    pub(super) async fn drain(&self, deadline: Instant) -> bool {
        self.host.ending.begin();
        self.host.register.wake_all();
        let register = &self.host.register;
        if tokio::time::timeout_at(deadline.into(), register.emptied()).await.is_ok() {
            return true;
        }
        register.close_all();
        // What does not close now ends with the process.
        let _ = tokio::time::timeout(CLOSING, register.emptied()).await;
        false
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Extension;
    use axum::routing::get;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    };
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::super::tls::{ClientTls, Live, Port, TlsOptions};
    use super::*;
    use crate::http::Origin;

    /// Serves who is asking; gives where, for as long as the test's runtime lives.
    async fn serve(host: &str, gate: Option<Gate>) -> SocketAddr {
        let told = |Extension(origin): Extension<Origin>| async move { format!("{origin:?}") };
        let app = Router::new().route("/", get(told));
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut acceptor = Acceptor::new(app, ConnectionLimits::default(), 16, gate, metrics);
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { acceptor.accept(&listener, std::future::pending()).await });
        address
    }

    async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split("\r\n\r\n").nth(1).unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_request_says_where_it_comes_from() {
        for (host, to) in [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1")] {
            let Ok(probe) = TcpListener::bind((host, 0)).await else { continue };
            drop(probe);
            let port = serve(host, None).await.port();
            let told = ask(TcpStream::connect((to, port)).await.unwrap()).await;
            assert_eq!(told, "Origin { address: 127.0.0.1, certificate: None }", "{host}");
        }
    }

    /// An authority.
    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_verified_certificate_says_who_is_asking() {
        let (ca, folder) = (authority(), tempfile::tempdir().unwrap());
        let sign = |usage, more: Vec<SanType>| {
            let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
            params.extended_key_usages = vec![usage];
            params.subject_alt_names.extend(more);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let (cert, key) = sign(ExtendedKeyUsagePurpose::ServerAuth, vec![]);
        let options = TlsOptions {
            cert: write("cert.pem", cert.pem()),
            key: write("key.pem", key.serialize_pem()),
            clients: Some(ClientTls { ca: write("ca.pem", ca.pem()), crl: None, required: false }),
            admin_plain: false,
        };
        let gate = Gate::new(Live::open(options).unwrap(), Port::Clients);
        let address = serve("127.0.0.1", Some(gate)).await;
        let uri = SanType::URI("spiffe://a.example/team".try_into().unwrap());
        let client = sign(ExtendedKeyUsagePurpose::ClientAuth, vec![uri]);
        let names = r#"Some(["DNS:localhost", "URI:spiffe://a.example/team", "CN:rcgen self signed cert"])"#;
        for (identity, certificate) in [(None, "None"), (Some(client), names)] {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            let builder =
                builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
            let config = match identity {
                Some((cert, key)) => {
                    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                    builder.with_client_auth_cert(vec![cert.der().clone()], key).unwrap()
                }
                None => builder.with_no_client_auth(),
            };
            let socket = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
            let told = ask(stream).await;
            assert_eq!(told, format!("Origin {{ address: 127.0.0.1, certificate: {certificate} }}"));
        }
    }
}
