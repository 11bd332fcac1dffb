//! Certificates, made as they are needed.

use std::path::{Path, PathBuf};

use mimi_server::serve::{ClientTls, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// Whoever signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's certificate for `localhost` and 127.0.0.1.
    pub fn server(&self) -> Pair {
        let names = ["localhost", "127.0.0.1"].map(String::from).to_vec();
        self.sign(CertificateParams::new(names).unwrap(), ExtendedKeyUsagePurpose::ServerAuth, |_| ())
    }

    /// A server's certificate that has expired.
    pub fn expired_server(&self) -> Pair {
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_after = date_time_ymd(2021, 1, 1)
        })
    }

    /// A client's certificate with that serial number, changed.
    pub fn client(&self, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(vec!["client.example".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, "client");
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, change)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// The list of revoked certificates.
    pub fn revocations(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Files of TLS in a folder.
pub struct Files {
    folder: TempDir,
}

impl Files {
    pub fn new(server: &Pair) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("cert.pem", &server.cert);
        files.write("key.pem", &server.key);
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside and renames it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let beside = self.path(&format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.path(name)).unwrap();
        self.path(name)
    }

    /// With the server's pair alone; metrics in clear on the admin port.
    pub fn options(&self) -> TlsOptions {
        options(self.folder.path())
    }

    /// Clients' certificates are checked.
    pub fn with_clients(&self, ca: &Authority) -> TlsOptions {
        let clients = ClientTls { ca: self.write("ca.pem", &ca.pem), crl: None, required: false };
        TlsOptions { clients: Some(clients), ..self.options() }
    }

    /// And those of a list are refused.
    pub fn with_revocations(&self, ca: &Authority, serials: &[u64]) -> TlsOptions {
        let mut options = self.with_clients(ca);
        let crl = Some(self.write("crl.pem", &ca.revocations(serials)));
        options.clients = options.clients.map(|clients| ClientTls { crl, ..clients });
        options
    }
}

/// The pair of a folder.
pub fn options(folder: &Path) -> TlsOptions {
    TlsOptions {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        clients: None,
        admin_plain: true,
    }
}
