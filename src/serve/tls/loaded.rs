//! A configuration made of the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::files::{ClientContents, Contents};
use super::options::{ClientTls, TlsOptions};
use crate::files::pem;

/// Protocols that a client may choose from, the server's preference first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What new connections are greeted with.
pub(super) struct Loaded {
    /// Counts loads.
    pub(super) number: u64,
    /// For clients.
    pub(super) clients: Arc<ServerConfig>,
    /// For the admin port, which takes clients without a certificate.
    pub(super) admin: Arc<ServerConfig>,
    /// Whom client certificates are checked by.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When the server's certificate begins and ends to hold, seconds since the epoch.
    pub(super) from: i64,
    /// See `from`.
    pub(super) until: i64,
    /// When the next revocation list is due that is due first.
    pub(super) revocations_until: Option<i64>,
}

/// What the server shows.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Whom the server trusts.
struct Trusted {
    roots: Arc<RootCertStore>,
    revocations: Vec<CertificateRevocationListDer<'static>>,
    /// The file they are from, for what is told.
    file: PathBuf,
}

impl Loaded {
    /// Makes a configuration.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub(super) fn new(contents: &Contents, options: &TlsOptions, number: u64) -> Result<Self> {
        let chain = pem::certificates(&options.cert, &contents.cert)?;
        let validity = validity(&options.cert, &chain)?;
        let shown = Shown { chain, key: pem::key(&options.key, &contents.key)? };
        let trusted = options.clients.as_ref().zip(contents.clients.as_ref());
        let trusted = trusted.map(|(options, contents)| Trusted::new(contents, options)).transpose()?;
        let verifier = |required| trusted.as_ref().map(|trusted| trusted.verifier(required)).transpose();
        let optional = verifier(false)?;
        let is_required = options.clients.as_ref().is_some_and(|clients| clients.required);
        let own = if is_required { verifier(true)? } else { optional.clone() };
        let (from, until) = validity;
        Ok(Self {
            number,
            clients: shown.config(own.clone(), options)?,
            admin: shown.config(optional, options)?,
            verifier: own,
            from,
            until,
            revocations_until: trusted.and_then(|trusted| trusted.due()),
        })
    }
}

impl Shown {
    fn config(
        &self,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        options: &TlsOptions,
    ) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| told(error, options))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        if asks {
            // A resumed session would bring back a certificate without checking it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

impl Trusted {
    fn new(contents: &ClientContents, options: &ClientTls) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(&options.ca, &contents.ca)? {
            roots.add(certificate).with_context(|| options.ca.display().to_string())?;
        }
        let revocations = match (&options.crl, &contents.crl) {
            (Some(file), Some(bytes)) => pem::revocations(file, bytes)?,
            _ => Vec::new(),
        };
        let file = options.crl.clone().unwrap_or_default();
        Ok(Self { roots: Arc::new(roots), revocations, file })
    }

    fn verifier(&self, required: bool) -> Result<Arc<dyn ClientCertVerifier>> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider());
        let builder = builder.with_crls(self.revocations.iter().cloned());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| {
            let file = self.file.display();
            anyhow!("{file}: {error}: expected version 2, with a number and the authority's key identifier")
        })
    }

    fn due(&self) -> Option<i64> {
        let lists = self.revocations.iter().filter_map(|list| CertificateRevocationList::from_der(list).ok());
        lists.filter_map(|(_, list)| list.next_update().map(|at| at.timestamp())).min()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// When a chain's first certificate begins and ends to hold.
fn validity(file: &Path, chain: &[CertificateDer<'_>]) -> Result<(i64, i64)> {
    let leaf = chain.first().map_or(&[][..], |leaf| leaf);
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|error| anyhow!("{}: its first certificate cannot be read: {error}", file.display()))?;
    let validity = leaf.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn told(error: Error, options: &TlsOptions) -> anyhow::Error {
    let (cert, key) = (options.cert.display(), options.key.display());
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            anyhow!("{key}: the key does not belong to the certificate {cert}")
        }
        Error::InvalidCertificate(error) => anyhow!("{cert}: the certificate cannot be used: {error:?}"),
        error => anyhow!("{key}: the key cannot be used: {error}"),
    }
}
