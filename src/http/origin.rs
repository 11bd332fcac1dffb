//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::IpAddr;
use std::sync::Arc;

/// The other end of a connection. Whoever accepts connections adds it to each request's extensions.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The address that the connection came from: a client's, or a proxy's.
    pub address: IpAddr,
    /// Names in the client certificate that was verified, each with its kind: `DNS:a.example`, `URI:spiffe://a/b`,
    /// `email:a@b.example`, `CN:a`. None without such a certificate.
    pub certificate: Option<Arc<[String]>>,
}
