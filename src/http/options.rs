//! Options of this door.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use super::cors::WebOrigin;

/// Limits of bodies, and whom the door believes; [`ServiceOptions`](crate::service::ServiceOptions) has the limits of what
/// is in bodies.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest body, bytes.
    pub payload_limit: usize,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// A gateway that says who sends a request.
    pub identity: Option<IdentityHeader>,
    /// Networks from which a server without tenants may be told to publish.
    pub publishers: Arc<[IpNet]>,
    /// Origins of pages that may ask, in browsers; `*` is every one. Without any, none but this server's own.
    pub origins: Arc<[WebOrigin]>,
}

/// A header in which a trusted gateway names who sends a request.
#[derive(Clone, Debug)]
pub struct IdentityHeader {
    /// The header's name, in small letters.
    pub header: String,
    /// Networks of gateways. From elsewhere the header is ignored.
    pub networks: Arc<[IpNet]>,
}

impl IdentityHeader {
    /// Whether a header from this address counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        holds(&self.networks, address)
    }
}

impl HttpOptions {
    /// Whether a server without tenants may be told to publish from this address.
    pub fn may_publish(&self, address: IpAddr) -> bool {
        holds(&self.publishers, address)
    }
}

impl HttpOptions {
    /// Whether a request comes from no web page, from one of an origin that may ask, or from this server's own under
    /// `localhost` or an address. Another name may be bound to this host by anybody.
    pub(super) fn is_own(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(origin) = text(header::ORIGIN) else { return true };
        let host = text(header::HOST).unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let is_fixed = name == "localhost" || name.parse::<IpAddr>().is_ok();
        let is_same = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        (is_fixed && is_same) || self.origins.iter().any(|allowed| allowed.is(origin))
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}
