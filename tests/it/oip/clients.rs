//! Unmodified clients of other projects; `make clients` installs them.

use super::world;
use crate::server::World;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_projects_work() {
    let folder = support::repository().join("tests/clients");
    let python = folder.join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: `make clients` installs the clients");
        return;
    }
    let (world, made) = (world(), World::new());
    let pack = made.publish("new", &made.contents(5, 1));
    let running = world.start().await;
    let url = format!("http://{}", running.address);
    let image = support::fixtures().join("images/rgb.png");
    let out = tokio::process::Command::new(python)
        .arg(folder.join("rest.py"))
        .args([url.as_str(), "one"])
        .arg(image)
        .arg("new")
        .arg(pack)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
    drop(running.end());
}
