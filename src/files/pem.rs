//! Certificates, keys and revocation lists out of PEM. Every error names the file and what is wrong with it.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Every certificate of a file.
///
/// # Errors
/// When there is none, or one is broken.
pub fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    all(file, bytes, "certificate (BEGIN CERTIFICATE)")
}

/// Every revocation list of a file.
///
/// # Errors
/// When there is none, or one is broken.
pub fn revocations(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    all(file, bytes, "revocation list (BEGIN X509 CRL)")
}

fn all<T: PemObject>(file: &Path, bytes: &[u8], what: &str) -> Result<Vec<T>> {
    let found: Result<Vec<T>, Error> = T::pem_slice_iter(bytes).collect();
    let found = found.or_else(|error| broken(file, &error))?;
    ensure!(!found.is_empty(), "{}: there is no {what} in it", file.display());
    Ok(found)
}

/// The first private key of a file.
///
/// # Errors
/// When there is none, or it is encrypted or broken.
pub fn key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>> {
    let says = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        bail!("{}: the key is encrypted; `openssl pkey -in FILE -out PLAIN` decrypts it", file.display());
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) => {
            bail!("{}: there is no private key (BEGIN PRIVATE KEY) in it", file.display())
        }
        Err(error) => broken(file, &error),
    }
}

fn broken<T>(file: &Path, error: &Error) -> Result<T> {
    let what = match error {
        Error::MissingSectionEnd { .. } => "a section has no END line: is it written whole?".to_owned(),
        Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".to_owned(),
        // It may quote what it could not decode, which may be a key.
        Error::Base64Decode(_) => "a section is not base64".to_owned(),
        error => error.to_string(),
    };
    bail!("{}: {what}", file.display())
}
