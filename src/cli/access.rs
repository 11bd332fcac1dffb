//! What was typed after `serve` about who may do what.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use mimi_server::http::{IdentityHeader, WebOrigin};

/// Options of `serve` about tenants.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may do what")]
pub struct AccessArgs {
    /// File of tenants: keys, scopes, tasks, weights, quotas. It is read again when it changes. Without it everybody
    /// who reaches the port may do everything.
    #[arg(long, env = "MIMI_TENANTS", value_name = "FILE")]
    tenants: Option<PathBuf>,
    /// Header in which a trusted gateway names who sends a request, as the tenants' `identities` say.
    #[arg(long, env = "MIMI_IDENTITY_HEADER", value_name = "NAME", requires = "identity_from", value_parser = header)]
    identity_header: Option<String>,
    /// Networks of such gateways, as 10.0.0.0/8, separated by commas. From elsewhere the header is ignored.
    #[arg(
        long,
        env = "MIMI_IDENTITY_FROM",
        value_name = "NETWORKS",
        requires = "identity_header",
        value_delimiter = ','
    )]
    identity_from: Vec<IpNet>,
    /// Networks from which a server without tenants may be told to reload tasks and to confirm the folder of packs,
    /// separated by commas.
    #[arg(
        long,
        env = "MIMI_PUBLISH_FROM",
        value_name = "NETWORKS",
        default_value = "127.0.0.0/8,::1/128",
        value_delimiter = ','
    )]
    publish_from: Vec<IpNet>,
    /// Tell every caller in headers how long its rows waited and with how many others they ran. Without it, tenants
    /// that have not the scope admin learn only their own FLOPs.
    #[arg(long, env = "MIMI_TELL_LOAD")]
    pub tell_load: bool,
    /// Origins of web pages that may ask from browsers: scheme, host and port, separated by commas; * is every one.
    #[arg(long, env = "MIMI_CORS_ALLOW_ORIGIN", value_name = "ORIGINS", value_delimiter = ',')]
    cors_allow_origin: Vec<WebOrigin>,
}

impl AccessArgs {
    /// The file of tenants.
    pub fn tenants(&self) -> Option<PathBuf> {
        self.tenants.clone()
    }

    /// The gateway's header.
    pub fn identity(&self) -> Option<IdentityHeader> {
        let header = self.identity_header.clone()?;
        Some(IdentityHeader { header, networks: self.identity_from.clone().into() })
    }

    /// Origins of web pages that may ask.
    pub fn origins(&self) -> Vec<WebOrigin> {
        self.cors_allow_origin.clone()
    }

    /// Networks that may have a server without tenants publish.
    pub fn publishers(&self) -> Vec<IpNet> {
        self.publish_from.clone()
    }
}

/// The name of a header, in small letters.
fn header(text: &str) -> Result<String, String> {
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let name = text.to_ascii_lowercase();
    match name.as_str() {
        "authorization" | "x-api-key" => Err("a header of keys: expected another".into()),
        _ if name.starts_with("x-mimi-") => {
            Err("headers x-mimi-... are the server's own: expected another".into())
        }
        _ if !name.is_empty() && name.len() <= 64 && name.bytes().all(is_letter) => Ok(name),
        _ => Err("expected letters, digits, - and _".into()),
    }
}
