//! A real S3 server: `s3s-fs` on a socket, asked by the address and the environment's settings, as users do.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use mimi_server::files::System;
use mimi_server::metrics::Metrics;
use mimi_server::pack;
use mimi_server::shelf::{Cache, Changes, Digest, Edit, Objects, PackSource, Settings};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use super::{archive, large_archive, stable, task};
use crate::support::command;

pub const SECRET: &str = "a-secret-that-must-not-be-shown";

/// Serves a folder with a bucket named `bucket`, and gives the endpoint.
pub async fn serve(root: &std::path::Path) -> String {
    std::fs::create_dir_all(root.join("bucket")).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("id", SECRET));
    let service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    format!("http://{address}")
}

pub fn settings(endpoint: &str, secret: &str) -> Vec<(String, String)> {
    let named = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    named.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_are_published_fetched_and_taken_back_by_s3() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let endpoint = serve(root.path()).await;
    let metrics = std::sync::Arc::new(Metrics::new().unwrap());
    let copies = Cache::open(cache.path(), 1 << 30, metrics.clone()).unwrap();
    let all = Settings::new(settings(&endpoint, SECRET));
    let source = Objects::open("s3://bucket/a/prefix", &all, Some(copies), metrics.clone()).unwrap();
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
    assert_eq!(source.refresh(&task("t")).await.unwrap(), None);
    for seed in 1..=3 {
        source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
    }
    assert_eq!(source.changed().await.unwrap(), Changes::Tasks([task("t")].into()));
    assert_eq!(source.changed().await.unwrap(), Changes::Tasks(Default::default()));
    let pointer = source.refresh(&task("t")).await.unwrap().unwrap();
    assert_eq!(source.refresh(&task("t")).await.unwrap(), Some(pointer.clone()));
    assert_eq!(pointer.stable(), Some(3));
    let place = source.place(&task("t"), 2).await.unwrap();
    assert!(place.folder().starts_with(cache.path()));
    source.edit(&task("t"), Edit::Label { label: "stable".into(), version: None }).await.unwrap();
    assert_eq!(source.refresh(&task("t")).await.unwrap().unwrap().stable(), Some(2));

    // A blob that needs several parts.
    let large = large_archive(9 << 20);
    let digest = Digest::of(&large);
    let published = source.publish(&task("large"), large.into(), stable(None)).await.unwrap();
    source.refresh(&task("large")).await.unwrap();
    let place = source.place(&task("large"), published.done.version()).await.unwrap();
    let back = pack::archive(&System, place.folder()).unwrap();
    assert!(published.digest == digest && Digest::of(&back) == digest);

    // A wrong secret is a failure and no empty answer, and is not shown.
    let wrong = "wrong-secret-value";
    let all = Settings::new(settings(&endpoint, wrong));
    let source = Objects::open("s3://bucket/a/prefix", &all, None, metrics.clone()).unwrap();
    let error = source.refresh(&task("t")).await.unwrap_err();
    let told = format!("{error} {error:?} {source:?} {all:?}");
    assert!(error.is_passing() && !told.contains(wrong), "{told}");
    commands(&endpoint, root.path()).await;
}

/// The commands, with the environment that users set.
async fn commands(endpoint: &str, folder: &std::path::Path) {
    let file = folder.join("p.mipack");
    std::fs::write(&file, archive(9)).unwrap();
    let run = |args: Vec<String>| {
        let mut command = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.envs(settings(endpoint, SECRET)).env("MIMI_PACKS", "s3://bucket/a/prefix");
        tokio::task::spawn_blocking(move || {
            let done = command.output().unwrap();
            let all = [done.stdout, done.stderr].concat();
            (done.status.success(), String::from_utf8(all).unwrap())
        })
    };
    let file = file.display().to_string();
    let words = |text: &str| text.split(' ').map(|word| word.replace("FILE", &file)).collect::<Vec<_>>();
    for (line, expected) in [
        ("publish --task t FILE", "t version 4 sha256"),
        ("publish --task t FILE", "(already there)"),
        ("rollback --task t --version 1", "t stable is version 1"),
        ("versions --task t", "stable"),
        ("gc --keep 2 --dry-run", "2 tasks: 1 versions"),
    ] {
        let (is_done, told) = run(words(line)).await.unwrap();
        assert!(is_done && told.contains(expected) && !told.contains(SECRET), "{line}: {told}");
    }
    let (is_done, told) = run(words("versions --task unknown")).await.unwrap();
    assert!(!is_done && told.contains("task unknown has no version"), "{told}");
}
