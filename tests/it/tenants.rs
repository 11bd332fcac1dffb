//! Tenants: who may do what, by every kind of key, and what a client learns when it may not.

mod access;
mod changes;
mod grpc;
mod keys;
mod listing;
mod quotas;
mod secrets;
mod timing;

use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use mimi_server::serve::{self, Server};
use mimi_server::tenants::{Digest, KeyId, Scope, Secret};

use crate::server::{Answer, World, image, send};

/// Writes a file of tenants as an operator would, by replacing it.
pub struct Written {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Written {
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let written = Self { path: folder.path().join("tenants.toml"), _folder: folder };
        written.replace(text);
        written
    }

    pub fn replace(&self, text: &str) {
        mimi_server::files::write_atomically(&self.path, text.as_bytes()).unwrap();
    }
}

/// A key with its lines in the file.
pub struct Key {
    pub secret: String,
    pub id: String,
    pub digest: Digest,
}

impl Key {
    pub fn new(id: &str) -> Self {
        let secret = Secret::random(id.parse::<KeyId>().unwrap()).unwrap();
        Self { digest: secret.digest(), id: id.to_owned(), secret: secret.reveal().to_owned() }
    }

    /// Its lines under a tenant.
    pub fn lines(&self, tenant: &str, scopes: &[Scope], more: &str) -> String {
        let Self { id, digest, .. } = self;
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
        let scopes = scopes.join(", ");
        format!("[tenants.{tenant}.keys.{id}]\nsha256 = \"{digest}\"\nscopes = [{scopes}]\n{more}\n")
    }
}

/// Tasks `a.one`, `a.two` of one tenant, `b.one` of another, `all.one` for both.
pub fn world() -> World {
    let world = World::new();
    for (number, task) in ["a.one", "a.two", "b.one", "all.one"].into_iter().enumerate() {
        world.publish(task, &world.contents(number as u64 + 1, 3));
    }
    world
}

pub async fn server(world: &World, tenants: &Written) -> Server {
    let config = serve::Config { tenants: Some(tenants.path.clone()), ..world.config() };
    Server::build(config).await.unwrap()
}

/// A request with a key.
pub fn request(method: &str, path: &str, key: Option<&str>) -> Request<Body> {
    let body = match method {
        "POST" if path.contains("/infer") => {
            Body::from(crate::oip::asked(&image("rgb.png"), &[]).to_string())
        }
        "POST" if path.contains("classify") || path.contains("embed") => Body::from(image("rgb.png")),
        _ => Body::empty(),
    };
    let builder = Request::builder().method(method).uri(path);
    let builder = key.iter().fold(builder, |b, key| b.header("authorization", format!("Bearer {key}")));
    builder.body(body).unwrap()
}

pub async fn ask(app: &Router, method: &str, path: &str, key: Option<&str>) -> Answer {
    send(app, request(method, path, key)).await
}
