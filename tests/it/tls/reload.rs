//! Files that change.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Served;
use super::authority::{Authority, Files, Pair, options};
use super::client::{Client, ask_on, shown};

/// Several looks at the files.
const LOOKS: Duration = Duration::from_millis(200);

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_see_the_new_pair_and_old_ones_go_on() {
    let ca = Authority::new("servers");
    let (old, new) = (ca.server(), ca.server());
    let files = Files::new(&old);
    let served = Served::start(files.options()).await;
    let client = Client::new(&ca);
    let mut open = client.connect(served.address).await.unwrap();
    assert_eq!(shown(&open), der(&old));
    assert!(ask_on(&mut open, "/healthz").await.is_some());
    // A certificate whose key has yet to come, a file that is gone and one that breaks off change nothing.
    let half = new.cert.split_at(new.cert.len() / 2).0;
    for (failed, text) in [(1.0, new.cert.as_str()), (2.0, ""), (3.0, half), (4.0, "no certificate")] {
        match text {
            "" => std::fs::remove_file(files.path("cert.pem")).unwrap(),
            text => drop(files.write("cert.pem", text)),
        }
        served.until_reloads("failed", failed).await;
        // It is told once, though it is looked at again meanwhile.
        tokio::time::sleep(LOOKS).await;
        assert_eq!(served.reloads("failed").await, failed);
        assert_eq!(shown(&client.connect(served.address).await.unwrap()), der(&old));
    }
    files.write("cert.pem", &new.cert);
    served.until_reloads("failed", 5.0).await;
    files.write("key.pem", &new.key);
    served.until_reloads("loaded", 1.0).await;
    assert_eq!(shown(&client.connect(served.address).await.unwrap()), der(&new));
    assert!(ask_on(&mut open, "/v1/tasks/one").await.unwrap().contains("200 OK"));
    assert_eq!((served.reloads("loaded").await, served.reloads("failed").await), (1.0, 5.0));
    served.end().await;
}

/// Lays files out as Kubernetes mounts a secret: links over a link that is renamed.
fn mount(folder: &Path, number: usize, pair: &Pair) {
    let name = format!("..{number}");
    std::fs::create_dir(folder.join(&name)).unwrap();
    std::fs::write(folder.join(&name).join("cert.pem"), &pair.cert).unwrap();
    std::fs::write(folder.join(&name).join("key.pem"), &pair.key).unwrap();
    symlink(&name, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_kubernetes_swaps_is_read_as_one() {
    let ca = Authority::new("servers");
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), 0, &ca.server());
    for name in ["cert.pem", "key.pem"] {
        symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    let served = Served::start(options(folder.path())).await;
    // It has read the first.
    served.until_reloads("loaded", 0.0).await;
    for number in 1..10 {
        let pair = ca.server();
        mount(folder.path(), number, &pair);
        served.until_reloads("loaded", number as f64).await;
        assert_eq!(shown(&Client::new(&ca).connect(served.address).await.unwrap()), der(&pair));
    }
    assert_eq!(served.reloads("failed").await, 0.0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gauge_says_when_the_served_certificate_expires() {
    let ca = Authority::new("servers");
    let (first, expired) = (ca.server(), ca.expired_server());
    let files = Files::new(&first);
    let served = Served::start(files.options()).await;
    let gauge = "mimi_tls_certificate_expiry_seconds";
    // rcgen's default is the year 4096.
    assert!(served.series(gauge).await > 60_000_000_000.0);
    files.write("key.pem", &expired.key);
    files.write("cert.pem", &expired.cert);
    served.until_reloads("loaded", 1.0).await;
    assert_eq!(served.series(gauge).await, 1_609_459_200.0);
    served.end().await;
}
