//! The service without a door.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use mimi_server::engine::Priority;
use mimi_server::service::{Ask, AskMany, Code, Said, Terms};
use mimi_server::tenants::Caller;

use crate::server::{World, classify, image, post};

fn terms(top_k: usize) -> Terms {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (caller, priority) = (Caller::everybody(), Priority::default());
    Terms { top_k, wants_logits: false, may_keep: false, deadline, caller, priority }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_gets_what_a_client_of_http_gets() {
    let world = World::new();
    world.publish("one", &world.contents(1, 2));
    let server = world.server().await;
    let expected = classify(&server.app(), "one", image("rgb.png")).await.json();
    let service = server.service();
    let terms = terms(5);
    let task = service.pin(&Caller::everybody(), "one", terms.deadline).await.unwrap();
    let images = vec![Bytes::from(image("rgb.png")), Bytes::from(image("exif_6.png"))];
    let answered = service.classify(Ask { task, images, terms }).await.unwrap();
    assert_eq!((answered.task.as_str(), answered.version, answered.images.len()), ("one", 1, 2));
    for (i, prediction) in answered.images[0].predictions.iter().enumerate() {
        let expected = &expected["predictions"][i];
        assert_eq!(expected["label"], prediction.label);
        let Said::Score(score) = prediction.said else { panic!("{prediction:?}") };
        assert!((expected["score"].as_f64().unwrap() - f64::from(score)).abs() < 1e-6);
    }
    assert!(answered.spent.flops > 0 && answered.spent.batch_rows > 0 && !answered.spent.run.is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_codes_and_advice_without_a_door() {
    let world = World::new();
    world.publish("one", &world.contents(1, 2));
    let server = world.server().await;
    let service = server.service();
    let unknown = service.pin(&Caller::everybody(), "nobody", terms(1).deadline).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.retry()), (Code::TaskNotFound, None));
    let task = service.pin(&Caller::everybody(), "one", terms(1).deadline).await.unwrap();
    let broken = vec![Bytes::from_static(b"no image")];
    let broken = service.classify(Ask { task, images: broken, terms: terms(1) }).await.unwrap_err();
    assert_eq!(broken.code(), Code::UnsupportedMediaType);
    let tasks = vec!["one".to_owned(), "nobody".to_owned()];
    let ask = AskMany { tasks, image: image("rgb.png").into(), arrived: Instant::now(), terms: terms(3) };
    let many = service.classify_many(ask).await.unwrap();
    let codes: Vec<_> =
        many.tasks.iter().map(|task| task.outcome.as_ref().map_or_else(|e| e.code(), |_| Code::Ok)).collect();
    assert_eq!(codes, [Code::Ok, Code::TaskNotFound]);
    assert_eq!(many.spent, many.tasks[0].outcome.as_ref().unwrap().spent);
}

/// Rows that end after their task went leave no series of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_went_stays_forgotten() {
    let world = World::new();
    world.publish("one", &world.contents(1, 2));
    world.publish("two", &world.contents(2, 2));
    let server = world.server().await;
    let service = server.service();
    let task = service.pin(&Caller::everybody(), "one", terms(1).deadline).await.unwrap();
    std::fs::remove_dir_all(world.task("one")).unwrap();
    let reloader = std::sync::Arc::clone(server.reloader());
    let watcher = tokio::spawn(async move { reloader.watch(Duration::from_millis(20)).await });
    while service.pin(&Caller::everybody(), "one", terms(1).deadline).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    watcher.abort();
    let images = vec![Bytes::from(image("rgb.png"))];
    service.classify(Ask { task, images, terms: terms(1) }).await.unwrap();
    let text = String::from_utf8(service.series().await.unwrap()).unwrap();
    assert!(!text.contains("task=\"one\""), "{text}");
}

#[tokio::test]
async fn requests_to_publish_are_admitted_too() {
    let world = World::new();
    world.publish("one", &world.contents(1, 2));
    let server = world.server().await;
    let app = server.app();
    for (path, at_once) in [("/v1/tasks/one/reload", 8), ("/v1/folder/confirm", 2)] {
        let answers = join_all((0..40).map(|_| post(&app, path, "application/json", ""))).await;
        let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert!(served.len() >= at_once && !refused.is_empty(), "{path}: {} of 40", served.len());
        for answer in refused {
            assert_eq!((answer.status.as_u16(), &*answer.code()), (429, "overloaded"), "{path}");
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
    let tasks = &server.metrics().requests.tasks;
    let counted = tasks.requests("none", "overloaded").min(tasks.requests("one", "overloaded"));
    assert!(counted > 0, "refusals are not counted");
    let again = post(&app, "/v1/tasks/one/reload", "application/json", "").await;
    assert_eq!(again.status, 200, "{}", again.text());
}
