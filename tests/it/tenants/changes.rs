//! A file that changes under a running server.

use std::time::{Duration, Instant};

use mimi_server::serve;
use mimi_server::tenants::Scope;

use super::{Key, Written, world};

const HEAD: &str = "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n";

/// Asks over one connection of HTTP/1.1 that stays open.
struct Client {
    stream: std::net::TcpStream,
}

impl Client {
    fn new(address: std::net::SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream }
    }

    fn status(&mut self, key: &str) -> u16 {
        use std::io::{Read, Write};
        write!(self.stream, "GET /v1/tasks HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n").unwrap();
        let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the connection was closed");
            all.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            if body.len() >= length.parse().unwrap() {
                return head[9..12].parse().unwrap();
            }
        }
    }
}

/// Waits until a key is answered with a status; returns how long that took.
fn until(client: &mut Client, key: &str, status: u16) -> Duration {
    let start = Instant::now();
    while client.status(key) != status {
        assert!(start.elapsed() < Duration::from_secs(5), "not {status} in 5 s");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_within_a_second_on_an_open_connection() {
    let world = world();
    let (kept, revoked) = (Key::new("kept"), Key::new("revoked"));
    let line = |key: &Key| key.lines("a", &[Scope::Read], "");
    let file = Written::new(&format!("{HEAD}{}{}", line(&kept), line(&revoked)));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let running = crate::server::start(config, None).await;
    let address = running.address;
    let took = tokio::task::spawn_blocking(move || {
        let mut client = Client::new(address);
        assert_eq!((client.status(&kept.secret), client.status(&revoked.secret)), (200, 200));
        file.replace(&format!("{HEAD}{}", line(&kept)));
        let took = until(&mut client, &revoked.secret, 401);
        assert_eq!(client.status(&kept.secret), 200);
        // A broken file changes nothing, a good one after it does.
        file.replace("version = 1\n[tenants.a\n");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!((client.status(&kept.secret), client.status(&revoked.secret)), (200, 401));
        std::fs::remove_file(&file.path).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!((client.status(&kept.secret), client.status(&revoked.secret)), (200, 401));
        file.replace(&format!("{HEAD}{}", line(&revoked)));
        until(&mut client, &revoked.secret, 200);
        assert_eq!(client.status(&kept.secret), 401);
        took
    });
    let took = took.await.unwrap();
    assert!(took < Duration::from_secs(1), "{took:?}");
    running.end().await.unwrap().unwrap();
}

/// From open to closed without an outage: requests without a key are let in for a while, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn both_are_let_in_for_a_while() {
    let world = world();
    let key = Key::new("first");
    let closed = format!("{HEAD}{}", key.lines("a", &[Scope::Read], ""));
    let both =
        |until: &str| format!("{closed}[anonymous]\nscopes = [\"read\"]\nuses = [\"*\"]\nuntil = {until}\n");
    for (text, without, tasks) in [
        (closed.clone(), 401, 0),
        (both("2999-01-01T00:00:00Z"), 200, 4),
        (both("2020-01-01T00:00:00Z"), 401, 0),
    ] {
        let file = Written::new(&text);
        let server = super::server(&world, &file).await;
        let app = server.app();
        let answer = super::ask(&app, "GET", "/v1/tasks", None).await;
        assert_eq!(answer.status, without);
        if without == 200 {
            assert_eq!(answer.json()["tasks"].as_array().unwrap().len(), tasks);
            let counted = server.metrics().tenants.authentications.with_label_values(&["anonymous"]).get();
            assert_eq!(counted, 1);
        }
        assert_eq!(super::ask(&app, "GET", "/v1/tasks", Some(&key.secret)).await.status, 200);
        let wrong = Key::new("first");
        assert_eq!(super::ask(&app, "GET", "/v1/tasks", Some(&wrong.secret)).await.status, 401);
    }
}

#[test]
fn wrong_files_are_refused_with_what_is_wrong() {
    let digest = Key::new("abcd").digest;
    let metrics = || std::sync::Arc::new(mimi_server::metrics::Metrics::new().unwrap());
    for (text, told) in [
        ("", "version"),
        ("version = 2", "version = 2: expected 1"),
        ("version = 1\n[tenants.A]", "\"A\" is not a tenant's name"),
        ("version = 1\n[tenants.anonymous]", "the name anonymous is taken"),
        ("version = 1\n[tenants.none]", "the name none is taken"),
        ("version = 1\n[tenants.other]", "the name other is taken"),
        ("version = 1\n[tenants.a]\nuses = [\"mimi_abcd_SECRET\"]", "\"...\" is not a pattern"),
        ("version = 1\n[tenants.mimi_abcd_SECRET]", "\"...\" is not a tenant's name"),
        ("version = 1\n[tenants.a]\ntasks = [\"a/b\"]", "\"a/b\" is not a pattern"),
        ("version = 1\n[tenants.a]\ntasks = [\"x.*\"]\n[tenants.b]\ntasks = [\"x.y\"]", "names in common"),
        ("version = 1\n[tenants.a]\nweight = 0", "weight = 0: expected 1 to 1000"),
        ("version = 1\n[tenants.a.quota]\nimages_per_second = -1.0", "images_per_second = -1"),
        ("version = 1\n[tenants.a.quota]\nimages_per_second = nan", "images_per_second = NaN"),
        (
            "version = 1\n[tenants.a.keys.abcd]\nsha256 = \"SECRET\"\nscopes = [\"read\"]",
            "64 hexadecimal digits",
        ),
        ("version = 1\n[tenants.a.keys.mimi_x]\nsha256 = \"\"\nscopes = []", "a key's id is not"),
        (&format!("version = 1\n[tenants.a.keys.abcd]\nsha256 = \"{digest}\"\nscopes = []"), "no scopes"),
        (
            &format!(
                "version = 1\n[tenants.a.keys.abcd]\nsha256 = \"{digest}\"\nscopes = [\"read\"]\n\
                 [tenants.b.keys.abcd]\nsha256 = \"{digest}\"\nscopes = [\"read\"]"
            ),
            "tenant a has one of this id",
        ),
        ("version = 1\n[anonymous]\nscopes = [\"publish\"]\nuses = []", "may only have infer and read"),
        (
            "version = 1\n[tenants.a]\nidentities = [\"x\"]\n[tenants.b]\nidentities = [\"x\"]",
            "stands for tenant a too",
        ),
    ] {
        let file = Written::new(text);
        let error = mimi_server::tenants::Tenants::read(&file.path, metrics()).err();
        let error = error.unwrap_or_else(|| panic!("{text} is accepted")).to_string();
        assert!(error.contains(told) && !error.contains("SECRET"), "{text}: {error}");
    }
}

/// Ten thousand tenants: a lookup takes at most 2 µs, reading the file at most a second.
#[test]
fn ten_thousand_tenants_are_read_and_found_quickly() {
    let metrics = std::sync::Arc::new(mimi_server::metrics::Metrics::new().unwrap());
    let key = Key::new("k5000");
    let tenant = |n: usize| {
        let own = Key::new(&format!("k{n:04}"));
        let key = if n == 5000 { &key } else { &own };
        format!(
            "[tenants.t{n}]\ntasks = [\"t{n}.*\", \"s{n}\"]\nweight = 2\nquota = {{ images_per_second = 50.0 }}\n"
        ) + &key.lines(&format!("t{n}"), &[Scope::Infer, Scope::Read], "note = \"x\"")
    };
    let text: String = (0..10_000).map(tenant).collect();
    let file = Written::new(&format!("version = 1\n{text}"));
    let start = Instant::now();
    let tenants = mimi_server::tenants::Tenants::read(&file.path, metrics).unwrap();
    let read = start.elapsed();
    let shown = mimi_server::tenants::Credentials { key: Some(&key.secret), ..Default::default() };
    let (rounds, start) = (20_000, Instant::now());
    for _ in 0..rounds {
        tenants.authenticate(&shown, jiff::Timestamp::now()).unwrap();
    }
    let lookup = start.elapsed() / rounds;
    println!("read in {read:?}, a lookup takes {lookup:?}");
    // This build is not optimised, and other tests run beside it: `cargo bench` has the figures.
    assert!(read < Duration::from_secs(10) && lookup < Duration::from_micros(40), "{read:?} {lookup:?}");
}

/// A key that is revoked while its request's body comes gets no answer, however often the file changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_during_its_request_gets_no_answer() {
    for changes in [0, 1, 2] {
        let world = world();
        let (kept, revoked) = (Key::new("kept"), Key::new("revoked"));
        let line = |key: &Key, more: &str| key.lines("a", &[Scope::Infer], more);
        let file = Written::new(&format!("{HEAD}{}{}", line(&kept, ""), line(&revoked, "")));
        let server = super::server(&world, &file).await;
        let app = server.app();
        let (send, body) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        let body = futures::stream::unfold(body, |mut body| async {
            body.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), body))
        });
        let mut asked = super::request("POST", "/v1/tasks/a.one/classify", Some(&revoked.secret));
        *asked.body_mut() = axum::body::Body::from_stream(body);
        let answer = tokio::spawn(async move { crate::server::send(&app, asked).await });
        let image = crate::server::image("rgb.png");
        send.send(image[..10].to_vec()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for change in 0..changes {
            file.replace(&format!("{HEAD}{}", line(&kept, &format!("note = \"{change}\""))));
            let start = Instant::now();
            while server.service().tenants().look() != mimi_server::tenants::Looked::Read {
                assert!(start.elapsed() < Duration::from_secs(1), "the file is not read");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        send.send(image[10..].to_vec()).unwrap();
        drop(send);
        let expected = if changes == 0 { 200 } else { 401 };
        assert_eq!(answer.await.unwrap().status, expected, "{changes} changes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_of_keys_is_in_the_audit_log() {
    let (world, logs) = (world(), tempfile::tempdir().unwrap());
    let [stays, widens, goes, comes] = ["stays", "widens", "goes", "comes"].map(Key::new);
    let line = |key: &Key, scopes: &[Scope], more: &str| key.lines("a", scopes, more);
    let read = [Scope::Read];
    let before = [line(&stays, &read, ""), line(&widens, &read, ""), line(&goes, &read, "")].concat();
    let file = Written::new(&format!("{HEAD}{before}"));
    let audit =
        mimi_server::audit::AuditOptions { folder: Some(logs.path().to_owned()), ..Default::default() };
    let config = serve::Config { tenants: Some(file.path.clone()), audit, ..world.config() };
    let server = serve::Server::build(config).await.unwrap();
    let wider = line(&widens, &[Scope::Read, Scope::Admin], "expires = 2099-01-01T00:00:00Z");
    let after = [line(&stays, &read, "note = \"same\""), wider, line(&comes, &read, "")].concat();
    file.replace(&format!("{HEAD}{after}"));
    let start = Instant::now();
    while server.service().tenants().look() != mimi_server::tenants::Looked::Read {
        assert!(start.elapsed() < Duration::from_secs(5), "the file is not read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.close_logs().await.unwrap();
    let text: String = std::fs::read_dir(logs.path())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["event"].as_str().unwrap(), line["id"].as_str())).collect();
    let expected = [("key_revoked", "goes"), ("key_added", "comes"), ("key_changed", "widens")];
    let expected = expected.map(|(event, id)| (event, Some(id)));
    assert_eq!(told, [&expected[..], &[("tenants_reloaded", None)]].concat());
    assert_eq!(lines[2]["what"], serde_json::json!(["scopes", "expires"]));
}
