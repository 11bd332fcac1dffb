//! A whole server over the tiny backbone, with or without a socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use mimi_server::backbone::{Place, Site};
use mimi_server::engine::EngineOptions;
use mimi_server::http::{HttpOptions, Origin};
use mimi_server::image::Limits;
use mimi_server::pack::{self, Contents};
use mimi_server::reload::ReloadOptions;
use mimi_server::serve::{self, Server};
use mimi_server::service::ServiceOptions;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::support::{self, TinyBackbone};

/// A tiny backbone and a folder of packs.
pub struct World {
    pub tiny: TinyBackbone,
    pub adapters: tempfile::TempDir,
}

/// An answer taken apart.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub fn new() -> Self {
        Self::of("vit_timm")
    }

    /// Over another backbone.
    pub fn of(fixture: &str) -> Self {
        Self::over(TinyBackbone::from(fixture))
    }

    pub fn over(tiny: TinyBackbone) -> Self {
        Self { tiny, adapters: tempfile::tempdir().unwrap() }
    }

    pub fn task(&self, name: &str) -> PathBuf {
        self.adapters.path().join(name)
    }

    /// A pack whose head prefers class `favourite` whatever the image, so that versions can be told apart.
    pub fn contents(&self, seed: u64, favourite: usize) -> Contents {
        let widths = [(Site::new(1, Place::Attn), 4), (Site::new(2, Place::Mlp), 2)];
        let mut contents = self.tiny.contents(seed, &widths, 4);
        contents.head_bias[favourite] = 1000.0;
        contents
    }

    /// Writes the next version of a task.
    pub fn publish(&self, name: &str, contents: &Contents) -> PathBuf {
        pack::write(&self.task(name), contents, &self.tiny.config).unwrap()
    }

    pub fn config(&self) -> serve::Config {
        serve::Config {
            backbone: self.tiny.folder.clone(),
            adapters: self.adapters.path().to_owned(),
            store: None,
            runtime: support::runtime_options(),
            other_devices: Vec::new(),
            weights: self.tiny.weights(),
            engine: EngineOptions {
                max_batch: 4,
                max_wait: Duration::from_millis(2),
                queue_limit: 64,
                workers: 1,
                max_programs: 4,
                bank_memory: crate::support::bank_bytes(),
                states_memory: crate::support::states_bytes(0),
                ..EngineOptions::default()
            },
            service: ServiceOptions {
                max_images: 8,
                max_tasks: 8,
                timeout: Duration::from_secs(20),
                bytes_in_flight: 256 << 20,
                decoders: 2,
                keeps_prefixes: false,
                tells_load: false,
                image: Limits { max_bytes: 1 << 20, max_pixels: 2_000_000 },
            },
            http: HttpOptions {
                payload_limit: 1 << 20,
                body_timeout: Duration::from_secs(20),
                identity: None,
                publishers: vec!["127.0.0.0/8".parse().unwrap()].into(),
                origins: Vec::new().into(),
            },
            tenants: None,
            connections: serve::ConnectionLimits::default(),
            tls: None,
            pack_memory: 64 << 20,
            poll: Duration::from_millis(20),
            reload: ReloadOptions::default(),
            usage: Default::default(),
            audit: Default::default(),
            task_labels: Default::default(),
            access: Default::default(),
            sampler: None,
            spans_lost: Default::default(),
            exit_notice: Duration::ZERO,
            exit_timeout: Duration::from_secs(20),
        }
    }

    pub async fn server(&self) -> Server {
        Server::build(self.config()).await.unwrap()
    }

    /// Starts a server on a free port of this machine.
    pub async fn start(&self) -> Running {
        start(self.config(), None).await
    }
}

/// Starts a server on a free port of this machine, and health and metrics on `admin`.
pub async fn start(config: serve::Config, admin: Option<std::net::TcpListener>) -> Running {
    let clients = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = clients.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let listeners = serve::Listeners { clients, admin };
    let task = tokio::spawn(async move {
        serve::run_with(config, listeners, async {
            let _ = stopped.await;
        })
        .await
    });
    Running { address, stop, task }
}

/// A server on a socket.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub fn end(self) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        let _ = self.stop.send(());
        self.task
    }
}

/// Sends a request as from this machine, unless it says where from.
pub async fn send(app: &Router, mut request: Request<Body>) -> Answer {
    let here = Origin { address: [127, 0, 0, 1].into(), certificate: None };
    request.extensions_mut().get_or_insert(here);

    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn get(app: &Router, path: &str) -> Answer {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn post(app: &Router, path: &str, kind: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", kind).body(body.into()).unwrap();
    send(app, request).await
}

/// Posts an image as curl's `--data-binary` does.
pub async fn classify(app: &Router, task: &str, image: impl Into<Body>) -> Answer {
    let path = format!("/v1/tasks/{task}/classify");
    post(app, &path, "application/x-www-form-urlencoded", image).await
}

/// An image of the fixtures.
pub fn image(name: &str) -> Vec<u8> {
    std::fs::read(support::fixtures().join("images").join(name)).unwrap()
}
