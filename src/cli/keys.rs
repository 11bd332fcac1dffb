//! What was typed after `keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use mimi_server::tenants::{KeyId, Scope, TenantName};

use super::moment::moment;

/// Options of `keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, once: only its SHA-256 is written anywhere.
    New(NewArgs),
    /// Read a key from standard input and print its id and SHA-256.
    Hash,
    /// Take keys out of the file of tenants. A running server refuses them within a second.
    Revoke(RevokeArgs),
    /// List the keys of a file of tenants, which is checked as a server would.
    List(FileArgs),
}

/// The file of tenants.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// File of tenants.
    #[arg(long, env = "MIMI_TENANTS", value_name = "FILE")]
    pub tenants: PathBuf,
}

/// Options of `keys new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// File of tenants to add the key to. Without it the lines for the file are printed to standard error.
    #[arg(long, env = "MIMI_TENANTS", value_name = "FILE")]
    pub tenants: Option<PathBuf>,
    /// The tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: TenantName,
    /// What the key allows: infer, read, publish, admin, metrics, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// When it ends: a date, or a date and time with an offset.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub expires: Option<Timestamp>,
    /// Its id, [a-z0-9]{4,32}. Without it one is made up.
    #[arg(long)]
    pub id: Option<KeyId>,
    /// For people.
    #[arg(long)]
    pub note: Option<String>,
}

/// Options of `keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Ids of the keys.
    #[arg(required = true)]
    pub ids: Vec<KeyId>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
    known.ok_or_else(|| format!("expected {}", Scope::ALL.map(Scope::as_str).join(", ")))
}
