//! Whose certificates are taken.

use mimi_server::serve::TlsOptions;
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::Served;
use super::authority::{Authority, Files, Pair};
use super::client::{Client, ask_on, begin_on, finish_on};

/// Certificates that are not to be taken, and what is wrong with them.
fn wrong(clients: &Authority) -> Vec<(&'static str, Pair)> {
    let others = Authority::new("clients");
    let expired = |params: &mut rcgen::CertificateParams| params.not_after = date_time_ymd(2021, 1, 1);
    let early = |params: &mut rcgen::CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
    let server = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    vec![
        ("of another authority of that name", others.client(1, |_| ())),
        ("expired", clients.client(2, expired)),
        ("not yet valid", clients.client(3, early)),
        ("for servers", clients.client(4, server)),
        ("revoked", clients.client(5, |_| ())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_that_hold_are_taken() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server());
    for client_required in [false, true] {
        let mut options = files.with_revocations(&clients, &[5]);
        options.clients.as_mut().unwrap().required = client_required;
        let served = Served::start(options).await;
        let wrong = wrong(&clients);
        for (what, pair) in &wrong {
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                let client = Client { versions: vec![version], ..Client::with(&servers, pair.clone()) };
                assert_eq!(client.ask(served.address, "/healthz").await, None, "{what}");
            }
        }
        let refused = 2.0 * wrong.len() as f64;
        served.until_closed("tls_handshake", refused).await;
        let right = Client::with(&servers, clients.client(6, |_| ()));
        assert!(right.ask(served.address, "/healthz").await.unwrap().contains("200 OK"));
        let nobody = Client::new(&servers).ask(served.address, "/healthz").await;
        assert_eq!(nobody.is_some(), !client_required);
        served.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_speaks_tls_and_takes_probes_without_a_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server());
    let mut options = TlsOptions { admin_plain: false, ..files.with_clients(&clients) };
    options.clients.as_mut().unwrap().required = true;
    let served = Served::start(options).await;
    // Its own thread starts with the backbone.
    let right = Client::with(&servers, clients.client(1, |_| ()));
    right.ask(served.address, "/healthz").await.unwrap();
    let probe = Client::new(&servers);
    assert!(probe.ask(served.admin, "/readyz").await.unwrap().contains("200 OK"));
    assert!(
        probe.ask(served.admin, "/metrics").await.unwrap().contains("mimi_tls_certificate_expiry_seconds ")
    );
    let stranger = Client::with(&servers, Authority::new("clients").client(1, |_| ()));
    assert_eq!(stranger.ask(served.admin, "/readyz").await, None);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_its_open_connections() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server());
    let served = Served::start(files.with_revocations(&clients, &[])).await;
    let [first, second] = [1, 2].map(|serial| Client::with(&servers, clients.client(serial, |_| ())));
    let mut open =
        [first.connect(served.address).await.unwrap(), second.connect(served.address).await.unwrap()];
    let mut nobody = Client::new(&servers).connect(served.address).await.unwrap();
    for stream in &mut open {
        assert!(ask_on(stream, "/healthz").await.is_some());
    }
    files.write("crl.pem", &clients.revocations(&[1]));
    served.until_reloads("loaded", 1.0).await;
    assert_eq!(ask_on(&mut open[0], "/healthz").await, None, "revoked");
    assert!(ask_on(&mut open[1], "/healthz").await.is_some(), "its neighbour");
    assert!(ask_on(&mut nobody, "/healthz").await.is_some(), "without a certificate");
    assert_eq!(first.ask(served.address, "/healthz").await, None);
    assert_eq!(served.closed("untrusted").await, 1.0);
    // Another authority ends the trust in the rest.
    files.write("ca.pem", &Authority::new("clients").pem);
    served.until_reloads("loaded", 2.0).await;
    assert_eq!(ask_on(&mut open[1], "/healthz").await, None);
    assert!(ask_on(&mut nobody, "/healthz").await.is_some());
    assert_eq!(served.closed("untrusted").await, 2.0);
    served.end().await;
}

/// A certificate that is revoked while its request's body comes gets no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_revoked_during_its_request_gets_no_answer() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server());
    let served = Served::start(files.with_revocations(&clients, &[])).await;
    let client = Client::with(&servers, clients.client(1, |_| ()));
    let mut open =
        [client.connect(served.address).await.unwrap(), client.connect(served.address).await.unwrap()];
    let head = "POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx";
    assert!(finish_on(&mut open[0], head, "x").await.is_some(), "while it holds");
    begin_on(&mut open[1], head).await;
    files.write("crl.pem", &clients.revocations(&[1]));
    served.until_reloads("loaded", 1.0).await;
    assert_eq!(finish_on(&mut open[1], "", "x").await, None);
    assert_eq!(served.closed("untrusted").await, 1.0);
    served.end().await;
}
