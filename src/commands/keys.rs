//! `server keys`.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use mimi_server::tenants::{self, KeyEntry, KeyId, NewKey, Secret};
use mimi_server::text;

use crate::cli::{KeysArgs, KeysCommand, NewKeyArgs};

/// Longest text that is read as a key.
const LONGEST: u64 = 4096;

/// Does what was asked with keys.
pub fn run(args: KeysArgs) -> Result<()> {
    match args.command {
        KeysCommand::New(args) => new(args),
        KeysCommand::Hash => hash(),
        KeysCommand::Revoke(args) => revoke(&args.file.tenants, &args.ids),
        KeysCommand::List(args) => list(&args.tenants),
    }
}

/// The key goes to standard output alone, so that a script can keep it; everything else to standard error.
fn new(args: NewKeyArgs) -> Result<()> {
    let secret = Secret::random(args.id.unwrap_or_else(KeyId::random))?;
    let id = secret.id().clone();
    let (tenant, scopes, expires, note) = (args.tenant, args.scopes, args.expires, args.note);
    let key = NewKey { tenant, id, digest: secret.digest(), scopes, expires, note };
    match &args.tenants {
        Some(path) => {
            tenants::add_key(path, &key).with_context(|| path.display().to_string())?;
            eprintln!(
                "key {} of tenant {} is in {}. This is the only time it is shown:",
                key.id,
                key.tenant,
                path.display()
            );
        }
        None => {
            eprint!("{}", key.lines());
            eprintln!("These lines belong into the file of tenants. This is the only time the key is shown:");
        }
    }
    println!("{}", secret.reveal());
    Ok(())
}

/// Out of standard input: other users see a command line.
fn hash() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().take(LONGEST + 1).read_to_string(&mut text).context("standard input")?;
    ensure!(text.len() as u64 <= LONGEST, "more than {LONGEST} bytes: expected one key");
    let secret: Secret = text.trim_end_matches(['\r', '\n']).parse()?;
    println!("[tenants.NAME.keys.{}]\nsha256 = \"{}\"", secret.id(), secret.digest());
    Ok(())
}

fn revoke(path: &std::path::Path, ids: &[KeyId]) -> Result<()> {
    let owners = tenants::revoke_keys(path, ids).with_context(|| path.display().to_string())?;
    for (id, owner) in ids.iter().zip(owners) {
        println!("key {id} of tenant {owner} is revoked");
    }
    Ok(())
}

fn list(path: &std::path::Path) -> Result<()> {
    let file = tenants::check(path).with_context(|| path.display().to_string())?;
    let now = Timestamp::now();
    let mut rows = vec![["tenant", "key", "scopes", "ends", "note"].map(str::to_owned).to_vec()];
    for (tenant, entry) in &file.tenants {
        rows.extend(entry.keys.iter().map(|(id, key)| row(tenant, id, key, now)));
    }
    print!("{}", text::columns(&rows, rows[0].len()));
    Ok(())
}

fn row(tenant: &str, id: &str, key: &KeyEntry, now: Timestamp) -> Vec<String> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let ends = match key.expires {
        None => "never".to_owned(),
        Some(end) if end <= now => format!("{end} (over)"),
        Some(end) => end.to_string(),
    };
    let note: String = key.note.iter().flat_map(|note| note.chars()).filter(|c| !c.is_control()).collect();
    vec![tenant.to_owned(), id.to_owned(), scopes.join(","), ends, note]
}
