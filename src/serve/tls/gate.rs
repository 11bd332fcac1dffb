//! Greeting one connection.

use std::io;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::live::Live;
use super::loaded::Loaded;
use super::names::names;
use super::options::Port;
use super::trust::Trust;
use crate::serve::stream::Watched;

/// What a client gets that speaks HTTP without TLS.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\
                       Connection: close\r\n\r\nThis port speaks TLS: ask https://\n";
/// Most pieces of such a request that are read, and the size of one, bytes.
const PIECES: usize = 64;
/// See `PIECES`.
const PIECE: usize = 1 << 10;

/// Where connections of one listener are greeted.
pub(crate) struct Gate {
    live: Arc<Live>,
    port: Port,
}

/// A connection after its handshake.
pub(crate) struct Greeted {
    pub(crate) stream: Box<TlsStream<Watched>>,
    /// The client's certificate, if it gave one.
    pub(crate) trust: Option<Arc<Trust>>,
}

impl Gate {
    /// Greets connections to `port`.
    pub(crate) fn new(live: Arc<Live>, port: Port) -> Self {
        Self { live, port }
    }

    /// Does the handshake; nothing if the client goes without a byte.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(crate) async fn greet(&self, stream: Watched) -> io::Result<Option<Greeted>> {
        let mut first = [0];
        if stream.socket.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        // A handshake begins with the byte 22, a request with its method.
        if first[0].is_ascii_uppercase() {
            return Err(refuse(stream).await);
        }
        let loaded = Arc::clone(&self.live.current());
        let stream = TlsAcceptor::from(Arc::clone(self.config(&loaded))).accept(stream).await?;
        let trust = self.trust(stream.get_ref().1, &loaded)?;
        Ok(Some(Greeted { stream: Box::new(stream), trust }))
    }

    fn config<'a>(&self, loaded: &'a Loaded) -> &'a Arc<ServerConfig> {
        match self.port {
            Port::Clients => &loaded.clients,
            Port::Admin => &loaded.admin,
        }
    }

    fn trust(&self, session: &ServerConnection, loaded: &Loaded) -> io::Result<Option<Arc<Trust>>> {
        let Some(chain) = session.peer_certificates() else { return Ok(None) };
        let Some(leaf) = chain.first() else { return Ok(None) };
        let names = names(leaf).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Ok(Some(Arc::new(Trust::new(Arc::clone(&self.live), chain, names, loaded.number))))
    }
}

/// Tells a client that speaks HTTP without TLS what is wrong.
async fn refuse(mut stream: Watched) -> io::Error {
    // How far it comes matters only to the client.
    let _ = stream.write_all(PLAIN).await;
    let _ = stream.shutdown().await;
    // What is left unread would cut the answer off.
    let mut unheard = [0; PIECE];
    for _ in 0..PIECES {
        if stream.read(&mut unheard).await.unwrap_or(0) == 0 {
            break;
        }
    }
    io::Error::new(io::ErrorKind::InvalidData, "HTTP without TLS")
}
