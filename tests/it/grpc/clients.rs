//! Unmodified clients of other projects; `make clients` installs them.

use mimi_server::serve;
use mimi_server::tenants::Scope;

use crate::server::World;
use crate::support::repository;
use crate::tenants::{Key, Written, world};

async fn run(script: &str) {
    let python = repository().join("tests/clients/.venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: `make clients` installs the clients");
        return;
    }
    let (world, made, key) = (world(), World::new(), Key::new("client"));
    let pack = made.publish("new", &made.contents(5, 1));
    let scopes = [Scope::Infer, Scope::Read, Scope::Publish];
    let head = "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n";
    let file = Written::new(&format!("{head}{}", key.lines("a", &scopes, "")));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let running = crate::server::start(config, None).await;
    let image = crate::support::fixtures().join("images/rgb.png");
    let command = tokio::process::Command::new(python)
        .arg(repository().join("tests/clients").join(script))
        .args(["--url", &running.address.to_string(), "--key", &key.secret, "--model", "a.one", "--image"])
        .arg(image)
        .arg("--pack")
        .arg(pack)
        .output();
    let output = command.await.unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{}", String::from_utf8_lossy(&output.stdout));
    running.end().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tritonclient_works() {
    run("grpc_triton.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kserve_works() {
    run("grpc_kserve.py").await;
}
