//! What the time of an answer tells, measured as an attacker would who is inside the machine: without a network between.
//!
//! `MIMI_TRIES=10000 cargo test --release --test it -- --nocapture tenants::timing` gives the figures of `docs/security.md`.

use std::time::{Duration, Instant};

use axum::Router;
use mimi_server::serve::{self, Server};
use mimi_server::tenants::Scope;

use super::{Key, Written, ask, request, world};
use crate::server::{World, send};

/// Tries of each kind; fewer where many tests run.
fn tries() -> usize {
    std::env::var("MIMI_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// What is still chance: the bar with 10,000 tries; more with fewer, and beside other tests.
fn chance() -> f64 {
    if tries() >= 10_000 { 0.52 } else { 0.6 }
}

/// How well a threshold on time tells two kinds apart: the area under the ROC curve, 0.5 by chance, 1 for certain.
fn area(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> =
        one.iter().map(|t| (*t, true)).chain(other.iter().map(|t| (*t, false))).collect();
    all.sort();
    let (mut below, mut pairs) = (0u64, 0u64);
    for (_, is_one) in all {
        if is_one {
            pairs += below;
        } else {
            below += 1;
        }
    }
    let area = pairs as f64 / (one.len() * other.len()) as f64;
    area.max(1.0 - area)
}

#[test]
fn the_area_is_right_where_it_is_known() {
    let times = |all: &[u64]| all.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
    assert_eq!(area(&times(&[1, 2, 3]), &times(&[4, 5, 6])), 1.0);
    assert_eq!(area(&times(&[1, 4]), &times(&[2, 3])), 0.5);
}

async fn timed(app: &Router, path: &str, key: &str) -> Duration {
    let asked = request("GET", path, Some(key));
    let start = Instant::now();
    std::hint::black_box(send(app, asked).await);
    start.elapsed()
}

/// Times of two addresses, asked in turns whose order is random.
async fn pair(app: &Router, key: &str, paths: [&str; 2]) -> [Vec<Duration>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for path in paths {
        timed(app, path, key).await;
    }
    for _ in 0..tries() {
        let first = usize::from(rand::random::<bool>());
        for which in [first, 1 - first] {
            times[which].push(timed(app, paths[which], key).await);
        }
    }
    times
}

#[tokio::test]
async fn a_foreign_task_takes_as_long_as_an_unknown_one() {
    let world = world();
    let (key, seer) = (Key::new("attacker"), Key::new("operator"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n{}[tenants.b]\ntasks = [\"b.*\"]\n[tenants.o]\n{}",
        key.lines("a", &[Scope::Infer, Scope::Read], ""),
        seer.lines("o", &[Scope::Admin, Scope::Read], "")
    ));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let app = Server::build(config).await.unwrap().app();
    let paths = ["/v1/tasks/b.one", "/v1/tasks/b.two"];
    let [foreign, unknown] = pair(&app, &key.secret, paths).await;
    let found = area(&foreign, &unknown);
    // A server that looks before it refuses: what it does for a caller who may see everything.
    let [leaky, nothing] = pair(&app, &seer.secret, paths).await;
    let control = area(&leaky, &nothing);
    println!(
        "foreign against unknown: {found:.3}; a server that looks first: {control:.3}; {} tries",
        tries()
    );
    assert!(found <= chance(), "{found}");
    assert!(control >= 0.9, "{control}");
}

/// Whether another tenant asked about the same image does not show; whether one's own tenant did does, which is the control.
#[tokio::test]
async fn whether_another_tenant_asked_about_an_image_does_not_show() {
    let world = late_world();
    let (attacker, victim) = (Key::new("attacker"), Key::new("victim"));
    let infer = [Scope::Infer];
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\nuses = [\"*\"]\n{}[tenants.b]\nuses = [\"*\"]\n{}",
        attacker.lines("a", &infer, ""),
        victim.lines("b", &infer, "")
    ));
    let mut config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    config.engine.prefix_memory = 64 << 20;
    config.service.keeps_prefixes = true;
    let server = Server::build(config).await.unwrap();
    let app = server.app();
    let (mut others, mut fresh, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..tries() {
        let images = [0, 1, 2].map(|kind| images(3 * number + kind));
        classify(&app, &images[0], &victim.secret).await;
        classify(&app, &images[2], &attacker.secret).await;
        // In any order, so that nothing but the image tells them apart.
        let mut order = [0, 1, 2];
        order.rotate_left(rand::random_range(0..3));
        for which in order {
            let took = classify(&app, &images[which], &attacker.secret).await;
            [&mut others, &mut fresh, &mut own][which].push(took);
        }
    }
    let (found, control) = (area(&others, &fresh), area(&own, &fresh));
    println!(
        "another tenant's image against a new one: {found:.3}; one's own: {control:.3}; {} tries",
        tries()
    );
    assert!(found <= chance(), "{found}");
    // One's own images are found again, and no others.
    let hits = server.metrics().engine.prefix_lookups.with_label_values(&["hit"]).get();
    assert_eq!(hits, 8 * tries() as u64);
    // Without optimisation, decoding outweighs the tiny backbone, and nothing shows.
    assert!(control >= 0.9 || cfg!(debug_assertions), "{control}");
}

/// A world whose task `late` differs from the frozen backbone by its head alone: a known image is not run at all.
fn late_world() -> World {
    let world = World::new();
    let mut contents = world.contents(1, 2);
    contents.weights.clear();
    world.publish("late", &contents);
    world
}

/// A form with images that nobody asked about before; several, so that their runs outweigh everything else.
fn images(number: usize) -> Vec<u8> {
    let images: Vec<Vec<u8>> = (0..8).map(|at| numbered_image(8 * number + at)).collect();
    let parts: Vec<(&str, &[u8])> = images.iter().map(|image| ("image", &image[..])).collect();
    crate::classify::form(&parts)
}

/// An image of its own for each number.
fn numbered_image(number: usize) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let n = number as u32;
        image::Rgb([(n ^ (x * 37)) as u8, (n >> 8) as u8 ^ (y * 11) as u8, (x * y + (n >> 16)) as u8])
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(4, 4, pixel).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

async fn classify(app: &Router, image: &[u8], key: &str) -> Duration {
    let mut asked = request("POST", "/v1/tasks/late/classify", Some(key));
    asked.headers_mut().insert("content-type", crate::classify::BOUNDARY.parse().unwrap());
    *asked.body_mut() = image.to_vec().into();
    let start = Instant::now();
    let answer = send(app, asked).await;
    let took = start.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    took
}

/// Keys are new for each try: where a text lies in memory shows too, and says nothing of any id.
#[tokio::test]
async fn a_wrong_key_takes_as_long_whether_its_id_exists() {
    let world = world();
    let known: Vec<Key> = (0..20).map(|number| Key::new(&format!("known{number:02}"))).collect();
    let lines: String = known.iter().map(|key| key.lines("a", &[Scope::Read], "")).collect();
    let file = Written::new(&format!("version = 1\n[tenants.a]\n{lines}"));
    let config = serve::Config { tenants: Some(file.path.clone()), ..world.config() };
    let app = Server::build(config).await.unwrap().app();
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..tries() {
        let id = format!("{:02}", number % 20);
        let keys = ["known", "other"].map(|begin| Key::new(&format!("{begin}{id}")).secret);
        let first = usize::from(rand::random::<bool>());
        for which in [first, 1 - first] {
            times[which].push(timed(&app, "/v1/tasks", &keys[which]).await);
        }
        if number == 0 {
            for key in &keys {
                assert_eq!(ask(&app, "GET", "/v1/tasks", Some(key)).await.status, 401);
            }
        }
    }
    let found = area(&times[0], &times[1]);
    println!("a wrong secret against an unknown id: {found:.3}; {} tries", tries());
    assert!(found <= chance(), "{found}");
}
