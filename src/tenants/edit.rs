//! Changes of the file of tenants that leave its comments and its order, and never leave a wrong file.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use toml_edit::{DocumentMut, Item, Table, value};

use super::accounts::Accounts;
use super::error::Error;
use super::file::TenantsFile;
use super::handle::text;
use super::name::{KeyId, TenantName};
use super::registry::Registry;
use super::scope::Scope;
use super::secret::Digest;
use crate::files;

/// A key as it is written into the file.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is.
    pub tenant: TenantName,
    /// Its id.
    pub id: KeyId,
    /// SHA-256 of it.
    pub digest: Digest,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// For people.
    pub note: Option<String>,
}

impl NewKey {
    /// The key's lines in a file of tenants.
    pub fn lines(&self) -> String {
        let Self { tenant, id, .. } = self;
        let name = if tenant.as_str().contains('.') { format!("\"{tenant}\"") } else { tenant.to_string() };
        format!("[tenants.{name}.keys.{id}]\n{}", self.table())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table["sha256"] = value(self.digest.to_string());
        let scopes: toml_edit::Array = self.scopes.iter().map(|scope| scope.as_str()).collect();
        table["scopes"] = value(scopes);
        if let Some(expires) = self.expires {
            table["expires"] = value(expires.to_string());
        }
        if let Some(note) = &self.note {
            table["note"] = value(note);
        }
        table
    }
}

/// Checks a file of tenants as a server would, and gives what is in it.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> Result<TenantsFile, Error> {
    let file = TenantsFile::parse(&text(path)?)?;
    Registry::new(&file, &mut Accounts::default(), Instant::now())?;
    Ok(file)
}

/// Adds a key to a tenant of a file.
///
/// # Errors
/// When the tenant is not there, the key is, or the file cannot be read or written.
pub fn add_key(path: &Path, key: &NewKey) -> Result<(), Error> {
    change(path, |file| {
        let tenant = key.tenant.as_str();
        let entry = file.get_mut("tenants").and_then(|all| all.get_mut(tenant));
        let entry =
            entry.and_then(Item::as_table_like_mut).ok_or_else(|| Error::of(tenant, "not in the file"))?;
        let keys = entry.entry("keys").or_insert_with(|| {
            let mut keys = Table::new();
            keys.set_implicit(true);
            Item::Table(keys)
        });
        let wrong = || Error::of(tenant, "its keys are no table");
        let keys = keys.as_table_like_mut().ok_or_else(wrong)?;
        match keys.insert(key.id.as_str(), Item::Table(key.table())) {
            None => Ok(()),
            Some(_) => Err(Error::of(tenant, format!("it has a key {} already", key.id))),
        }
    })
}

/// Takes keys out of a file; gives whose they were.
///
/// # Errors
/// When one of them is not there, or the file cannot be read or written. None is taken out then.
pub fn revoke_keys(path: &Path, ids: &[KeyId]) -> Result<Vec<String>, Error> {
    let mut owners = Vec::new();
    change(path, |file| {
        owners.clear();
        let mut tenants = file.get_mut("tenants").and_then(Item::as_table_like_mut);
        for id in ids {
            let all = tenants.iter_mut().flat_map(|tenants| tenants.iter_mut());
            let owner = all.filter_map(|(name, entry)| {
                let keys = entry.get_mut("keys")?.as_table_like_mut()?;
                keys.remove(id.as_str()).map(|_| name.get().to_owned())
            });
            let owner = owner.collect::<Vec<_>>().pop();
            owners.push(owner.ok_or_else(|| Error::Rule(format!("no tenant has a key {id}")))?);
        }
        Ok(())
    })?;
    Ok(owners)
}

/// Changes the file under a lock, checks it, and puts it in the old one's place.
fn change(path: &Path, edit: impl FnOnce(&mut DocumentMut) -> Result<(), Error>) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason: std::io::Error| Error::File { path, reason }
    };
    // Where the path is a link, what it leads to is replaced.
    let path = fs::canonicalize(path).map_err(failed(path))?;
    let folder: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let lock = File::open(&folder).map_err(failed(&folder))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| failed(&folder)(errno.into()))?;
    let before = text(&path)?;
    TenantsFile::parse(&before)?;
    let mut file: DocumentMut =
        before.parse().map_err(|_| Error::Rule("the file cannot be changed: it is not TOML".into()))?;
    edit(&mut file)?;
    let after = file.to_string();
    let read = TenantsFile::parse(&after)?;
    Registry::new(&read, &mut Accounts::default(), Instant::now())?;
    replace(&path, &after).map_err(failed(&path))
}

/// Replaces a file by a text. Its owner and its permissions stay: a server that could read it still can.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let before = fs::metadata(path)?;
    let beside = files::beside(path);
    let placed = write_as(&before, &beside, text).and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // The failure itself is told.
        let _ = fs::remove_file(&beside);
        return placed;
    }
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn write_as(like: &fs::Metadata, path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
