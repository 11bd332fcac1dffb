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
    /// Whose certificates clients give. Without it no client is asked for one.
    pub clients: Option<ClientTls>,
    /// Whether the admin port speaks without TLS.
    pub admin_plain: bool,
}

/// Which client certificates hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Their authorities, PEM.
    pub ca: PathBuf,
    /// Lists of revoked ones, PEM; one of every authority in a client's chain.
    pub crl: Option<PathBuf>,
    /// Whether clients without a certificate are refused. The admin port never refuses them.
    pub required: bool,
}

impl TlsOptions {
    /// How client certificates are treated, in one word.
    pub(super) fn asked(&self) -> &'static str {
        match &self.clients {
            None => "not asked",
            Some(ClientTls { required: false, .. }) => "optional",
            Some(ClientTls { required: true, .. }) => "required",
        }
    }
}

/// One of the server's two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Clients.
    Clients,
    /// Probes, scrapers and administrators.
    Admin,
}

/// What to warn of where keys are in use: other machines reach `host`, and nothing hides what they send.
pub fn clear_text_warning(port: Port, host: IpAddr, tls: Option<&TlsOptions>) -> Option<String> {
    let is_clear = match port {
        Port::Clients => tls.is_none(),
        Port::Admin => tls.is_none_or(|tls| tls.admin_plain),
    };
    let (option, give) = match (port, tls) {
        (Port::Admin, Some(_)) => ("--host", "Leave out --admin-plain"),
        (Port::Admin, None) => ("--host", "Give --tls-cert and --tls-key"),
        (Port::Clients, _) => ("--host", "Give --tls-cert and --tls-key"),
    };
    (is_clear && !host.to_canonical().is_loopback()).then(|| {
        format!(
            "keys travel in clear, with all that is sent: {option} {host} is reached from other machines, and TLS is \
             off there. {give}, or let a proxy end TLS on this machine"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: [(&str, bool); 7] = [
        ("127.0.0.1", false),
        ("127.9.9.9", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("0.0.0.0", true),
        ("::", true),
        ("10.0.0.7", true),
    ];

    #[test]
    fn clear_text_is_warned_of_where_others_hear_it() {
        let tls =
            TlsOptions { cert: "cert.pem".into(), key: "key.pem".into(), clients: None, admin_plain: false };
        let plain = TlsOptions { admin_plain: true, ..tls.clone() };
        for (host, is_heard) in HOSTS {
            let warned = |port, tls| clear_text_warning(port, host.parse().unwrap(), tls).is_some();
            for port in [Port::Clients, Port::Admin] {
                assert_eq!(warned(port, None), is_heard, "{host}");
                assert!(!warned(port, Some(&tls)), "{host}");
            }
            assert!(!warned(Port::Clients, Some(&plain)), "{host}");
            assert_eq!(warned(Port::Admin, Some(&plain)), is_heard, "{host}");
        }
    }
}
