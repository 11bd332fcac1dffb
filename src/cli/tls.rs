//! What was typed after `serve` about TLS.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use mimi_server::serve::{ClientTls, TlsOptions};

/// Options of `serve` about TLS.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// The server's certificate and those between it and its authority, PEM. Both ports then speak TLS 1.2
    /// and 1.3. All files of TLS are read again when they change.
    #[arg(long, env = "MIMI_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM, not encrypted.
    #[arg(long, env = "MIMI_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Authorities of client certificates, PEM. Clients may then give a certificate.
    #[arg(long, env = "MIMI_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Revoked client certificates, PEM: one list of every authority in a client's chain.
    #[arg(long, env = "MIMI_TLS_CLIENT_CRL", value_name = "FILE")]
    tls_client_crl: Option<PathBuf>,
    /// Refuse clients without a certificate. The admin port takes them, so that probes reach it.
    #[arg(long, env = "MIMI_TLS_CLIENT_REQUIRED")]
    tls_client_required: bool,
    /// Serve the admin port without TLS.
    #[arg(long, env = "MIMI_ADMIN_PLAIN")]
    admin_plain: bool,
}

impl TlsArgs {
    /// What the options mean; none serves in clear.
    ///
    /// # Errors
    /// When an option lacks the one that it needs.
    pub fn options(&self) -> Result<Option<TlsOptions>> {
        let Self { tls_cert, tls_key, tls_client_ca, tls_client_crl, .. } = self;
        let (has_ca, needs_ca) = (tls_client_ca.is_some(), "--tls-client-ca (MIMI_TLS_CLIENT_CA)");
        if tls_client_crl.is_some() && !has_ca {
            bail!("--tls-client-crl (MIMI_TLS_CLIENT_CRL) needs {needs_ca}");
        }
        if self.tls_client_required && !has_ca {
            bail!("--tls-client-required (MIMI_TLS_CLIENT_REQUIRED) needs {needs_ca}");
        }
        let (cert, key) = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(_), None) => bail!("--tls-cert (MIMI_TLS_CERT) needs --tls-key (MIMI_TLS_KEY)"),
            (None, Some(_)) => bail!("--tls-key (MIMI_TLS_KEY) needs --tls-cert (MIMI_TLS_CERT)"),
            (None, None) if has_ca => bail!("{needs_ca} needs --tls-cert and --tls-key"),
            (None, None) => return Ok(None),
        };
        Ok(Some(TlsOptions {
            cert,
            key,
            clients: tls_client_ca.clone().map(|ca| ClientTls {
                ca,
                crl: tls_client_crl.clone(),
                required: self.tls_client_required,
            }),
            admin_plain: self.admin_plain,
        }))
    }
}
