//! What goes wrong with files at the start, and `server health`.

use std::process::Output;

use super::Served;
use super::authority::{Authority, Files};
use crate::support::command;

/// Starts a server that has no backbone: whatever is wrong with TLS is told before that.
fn serve(more: &[&str]) -> String {
    let args = [&["serve", "--port", "0", "--models", "/nowhere"][..], more].concat();
    let done = command(&args).output().unwrap();
    assert!(!done.status.success());
    String::from_utf8_lossy(&done.stderr).into_owned()
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";

#[test]
fn what_is_wrong_at_the_start_names_the_file() {
    let ca = Authority::new("servers");
    let (pair, other) = (ca.server(), ca.server());
    let files = Files::new(&pair);
    let path = |name: &str| files.path(name).display().to_string();
    files.write("other.pem", &other.key);
    files.write("encrypted.pem", ENCRYPTED);
    files.write("empty.pem", "");
    files.write("half.pem", pair.cert.split_at(pair.cert.len() / 2).0);
    files.write("letters.pem", &pair.cert.replace('M', "!"));
    files.write("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (cert, key, named, said) in [
        ("nowhere.pem", "key.pem", "nowhere.pem", "No such file"),
        ("", "key.pem", "", "is not a file"),
        ("empty.pem", "key.pem", "empty.pem", "there is no certificate"),
        ("key.pem", "key.pem", "key.pem", "there is no certificate"),
        ("half.pem", "key.pem", "half.pem", "no END line"),
        ("letters.pem", "key.pem", "letters.pem", "not base64"),
        ("der.pem", "key.pem", "der.pem", "cannot be read"),
        ("cert.pem", "nowhere.pem", "nowhere.pem", "No such file"),
        ("cert.pem", "cert.pem", "cert.pem", "there is no private key"),
        ("cert.pem", "encrypted.pem", "encrypted.pem", "encrypted"),
        ("cert.pem", "other.pem", "other.pem", "does not belong to the certificate"),
    ] {
        let errors = serve(&["--tls-cert", &path(cert), "--tls-key", &path(key)]);
        assert!(errors.contains(said) && errors.contains(&path(named)), "{cert} {key}: {errors}");
    }
    let pair = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem"), "--tls-client-ca"];
    let errors = serve(&[&pair[..], &[&path("key.pem")]].concat());
    assert!(errors.contains("there is no certificate"), "{errors}");
    let errors = serve(&[&pair[..], &[&path("cert.pem"), "--tls-client-crl", &path("cert.pem")]].concat());
    assert!(errors.contains("there is no revocation list"), "{errors}");
    files.write("list.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    let errors = serve(&[&pair[..], &[&path("cert.pem"), "--tls-client-crl", &path("list.pem")]].concat());
    assert!(errors.contains(&path("list.pem")) && errors.contains("expected version 2"), "{errors}");
}

#[test]
fn options_of_tls_need_each_other() {
    for (given, needed) in [
        (&["--tls-cert", "c"][..], "--tls-key"),
        (&["--tls-key", "k"], "--tls-cert"),
        (&["--tls-client-ca", "a"], "--tls-cert"),
        (&["--tls-client-crl", "r"], "--tls-client-ca"),
        (&["--tls-client-required"], "--tls-client-ca"),
    ] {
        let errors = serve(given);
        assert!(errors.contains(given[0]) && errors.contains(&format!("needs {needed}")), "{errors}");
        // A switch that is off needs nothing.
        let off = command(&["serve", "--port", "0", "--models", "/nowhere"])
            .env("MIMI_TLS_CLIENT_REQUIRED", "off")
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&off.stderr).contains("/nowhere"));
    }
}

#[test]
fn an_expired_certificate_is_warned_of() {
    let ca = Authority::new("servers");
    for (pair, is_warned) in [(ca.expired_server(), true), (ca.server(), false)] {
        let files = Files::new(&pair);
        let path = |name: &str| files.path(name).display().to_string();
        let errors = serve(&["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
        assert_eq!(errors.contains("the certificate has expired"), is_warned, "{errors}");
        // The backbone is what is missing.
        assert!(errors.contains("/nowhere"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_by_tls_and_accepts_nobody_else() {
    let (ca, others) = (Authority::new("servers"), Authority::new("servers"));
    let files = Files::new(&ca.server());
    let served = Served::start(files.options()).await;
    files.write("ca.pem", &ca.pem);
    let stranger = others.server();
    files.write("other.pem", &stranger.cert);
    files.write("others.pem", &others.pem);
    let (port, admin) = (served.address.port().to_string(), served.admin.port().to_string());
    let health = |set: &[(&str, &str)]| {
        let mut command = command(&["health", "--port", &port]);
        for (name, value) in set {
            let is_file = value.ends_with(".pem");
            command
                .env(name, if is_file { files.path(value).display().to_string() } else { (*value).into() });
        }
        command.output().unwrap()
    };
    let said = |done: &Output| String::from_utf8_lossy(&done.stderr).into_owned();
    // The server is ready once it answers.
    super::ask_in_clear(served.admin, "/readyz").await;
    for right in [
        &[("MIMI_TLS_CERT", "cert.pem")][..],
        &[("MIMI_TLS_CA", "ca.pem")],
        &[("MIMI_TLS_CA", "ca.pem"), ("MIMI_TLS_NAME", "localhost"), ("MIMI_TLS_CERT", "other.pem")],
        &[("MIMI_ADMIN_PORT", &admin), ("MIMI_ADMIN_PLAIN", "1"), ("MIMI_TLS_CERT", "cert.pem")],
    ] {
        let done = health(right);
        assert!(done.status.success(), "{right:?}: {}", said(&done));
    }
    for wrong in [
        &[][..],
        &[("MIMI_TLS_CERT", "other.pem")],
        &[("MIMI_TLS_CERT", "nowhere.pem")],
        &[("MIMI_TLS_CERT", "key.pem")],
        &[("MIMI_TLS_CA", "others.pem")],
        &[("MIMI_TLS_CA", "ca.pem"), ("MIMI_TLS_NAME", "elsewhere.example")],
    ] {
        let done = health(wrong);
        assert!(!done.status.success(), "{wrong:?}");
    }
    assert!(said(&health(&[])).contains("give --tls-cert"), "{}", said(&health(&[])));
    served.end().await;
}
