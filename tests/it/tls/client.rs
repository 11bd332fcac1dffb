//! A client that speaks TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Pair};

/// What takes so long is taken to last for ever.
pub const FOR_EVER: Duration = Duration::from_secs(60);

pub type Sealed = TlsStream<TcpStream>;

/// How a client connects.
pub struct Client<'a> {
    pub trusts: &'a Authority,
    pub identity: Option<Pair>,
    pub protocols: Vec<&'static str>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl<'a> Client<'a> {
    pub fn new(trusts: &'a Authority) -> Self {
        let versions = vec![&rustls::version::TLS13, &rustls::version::TLS12];
        Self { trusts, identity: None, protocols: vec!["http/1.1"], versions }
    }

    /// As somebody.
    pub fn with(trusts: &'a Authority, identity: Pair) -> Self {
        Self { identity: Some(identity), ..Self::new(trusts) }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusts.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some(Pair { cert, key }) => {
                let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Does the handshake. TLS 1.3 tells only with the first answer whether the client's certificate is taken.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Sealed> {
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(self.config())).connect(name, socket).await
    }

    /// One request on a connection of its own; nothing where the server refuses the client.
    pub async fn ask(&self, address: SocketAddr, path: &str) -> Option<String> {
        let mut stream = self.connect(address).await.ok()?;
        ask_on(&mut stream, path).await
    }
}

/// One request on an open connection, which stays open; nothing where the server has closed it.
pub async fn ask_on(stream: &mut Sealed, path: &str) -> Option<String> {
    finish_on(stream, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n"), "\r\n").await
}

/// The beginning of a request, which the server has then had time to read.
pub async fn begin_on(stream: &mut Sealed, beginning: &str) {
    stream.write_all(beginning.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// A request in two pieces; nothing where the server has closed the connection.
pub async fn finish_on(stream: &mut Sealed, beginning: &str, end: &str) -> Option<String> {
    stream.write_all(beginning.as_bytes()).await.ok()?;
    stream.write_all(end.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let whole = async {
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await.ok().is_none_or(|read| read == 0) {
                return None;
            }
        }
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(FOR_EVER, whole).await.expect("no answer and no end")
}

/// Whether an answer's body is as long as its head says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    body.len() >= length.parse().unwrap()
}

/// The certificate that a server showed.
pub fn shown(stream: &Sealed) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// One request in clear, and all that comes until the server closes.
pub async fn ask_in_clear(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    rest(&mut socket).await
}

/// All that comes until the server closes; a reset is an end as well.
pub async fn rest(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(FOR_EVER, socket.read_to_end(&mut all)).await;
    drop(read.expect("the server keeps the connection"));
    String::from_utf8_lossy(&all).into_owned()
}
