//! What a request says of keeping its image.

use std::time::Duration;

use mimi_server::backbone::{Place, Site};
use mimi_server::serve::{self, Server};

use crate::server::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_out_of_the_cache_by_a_header() {
    let world = World::new();
    let site = [(Site::new(2, Place::Mlp), 4)];
    for task in ["first", "second"] {
        world.publish(task, &world.tiny.contents(7, &site, 3));
    }
    let mut config: serve::Config = world.config();
    config.service.keeps_prefixes = true;
    config.engine.prefix_memory = 1 << 24;
    let server = Server::build(config).await.unwrap();
    let ask = async |task: &str, header: &str| {
        let request = axum::http::Request::post(format!("/v1/tasks/{task}/classify"))
            .header("x-mimi-prefix-cache", header)
            .body(axum::body::Body::from(crate::server::image("exif_6.png")))
            .unwrap();
        crate::server::send(&server.app(), request).await
    };
    let metrics = server.metrics();
    let lookups = |outcome| super::lookups(metrics, outcome);
    assert_eq!(ask("first", "off").await.status, 200);
    assert_eq!((lookups("hit"), lookups("miss")), (0, 0));
    // The programs above and below the cut are made beside the requests.
    for _ in 0..3000 {
        if metrics.engine.programs_resident.get() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answers = [ask("first", "on").await, ask("first", "on").await, ask("second", "on").await];
    assert!(answers.iter().all(|answer| answer.status == 200));
    let first = answers[0].json()["predictions"].clone();
    assert!(answers.iter().all(|answer| answer.json()["predictions"] == first));
    assert_eq!(lookups("hit"), 2, "{} misses", lookups("miss"));
    let refused = ask("first", "perhaps").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "invalid_request"));
}
