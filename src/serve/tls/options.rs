//! Which files TLS is served from.

use std::net::IpAddr;
use std::path::PathBuf;

/// Files and rules of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The server's certificate and those between it and its authority, PEM.
    pub cert: PathBuf,
    /// The key of that certificate, PEM, not encrypted.
    pub key: PathBuf,
    /// Authorities of client certificates, PEM. Without them no client is asked for one.
    pub client_ca: Option<PathBuf>,
    /// Lists of revoked client certificates, PEM; one of every authority in a client's chain.
    pub client_crl: Option<PathBuf>,
    /// Whether clients without a certificate are refused. The admin port never refuses them.
    pub client_required: bool,
    /// Whether the admin port speaks without TLS.
    pub admin_plain: bool,
}

impl TlsOptions {
    /// How client certificates are treated, in one word.
    pub(super) fn clients(&self) -> &'static str {
        match (&self.client_ca, self.client_required) {
            (None, _) => "not asked",
            (Some(_), false) => "optional",
            (Some(_), true) => "required",
        }
    }
}

/// What to warn of where keys are in use: other machines reach `host`, and nothing hides what they send.
pub fn clear_text_warning(host: IpAddr, tls: Option<&TlsOptions>) -> Option<String> {
    let is_clear = tls.is_none() && !host.to_canonical().is_loopback();
    is_clear.then(|| {
        format!(
            "keys and images travel in clear: --host {host} is reached from other machines, and TLS is off. Give \
             --tls-cert and --tls-key, or let a proxy end TLS on this machine"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_warned_of_where_others_hear_it() {
        let warned =
            |host: &str, tls: Option<&TlsOptions>| clear_text_warning(host.parse().unwrap(), tls).is_some();
        let tls = TlsOptions {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            client_ca: None,
            client_crl: None,
            client_required: false,
            admin_plain: false,
        };
        for (host, is_warned) in [
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", true),
            ("::", true),
            ("10.0.0.7", true),
        ] {
            assert_eq!(warned(host, None), is_warned, "{host}");
            assert!(!warned(host, Some(&tls)), "{host}");
        }
    }
}
