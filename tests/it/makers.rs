//! Answers name what made them, by every door in the same words.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::HeaderMap;
use mimi_server::files::System;
use mimi_server::grpc::messages::infer_parameter::ParameterChoice;
use mimi_server::pack::read_digest;
use mimi_server::service::{BUILD, Fact};
use serde_json::{Value, json};

use crate::classify::base64;
use crate::grpc::{client, infer::encoded};
use crate::oip;
use crate::server::{World, classify, get, image, post};

type Facts = BTreeMap<&'static str, String>;

/// What the headers of an answer tell, by the names of parameters.
fn told(headers: &HeaderMap) -> Facts {
    let one = |fact: Fact| Some((fact.name(), headers.get(fact.key())?.to_str().unwrap().to_owned()));
    Fact::ALL.into_iter().filter_map(one).collect()
}

/// Two tasks, and what their answers must name.
fn world() -> (World, Facts, Facts) {
    let world = World::new();
    let facts = |name: &str, seed| {
        let folder = world.publish(name, &world.contents(seed, 1));
        BTreeMap::from([
            ("version", "1".to_owned()),
            ("pack_digest", read_digest(&System, &folder).unwrap()),
            ("backbone", world.tiny.config.name.clone()),
            ("precision", "fp32".to_owned()),
            ("build", BUILD.to_owned()),
        ])
    };
    let (one, two) = (facts("one", 1), facts("two", 2));
    (world, one, two)
}

async fn many(app: &Router, tasks: &[&str]) -> crate::server::Answer {
    let body = json!({"tasks": tasks, "image": base64(&image("rgb.png"))}).to_string();
    post(app, "/v1/classify?runs=true", "application/json", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_names_the_same() {
    let (world, one, two) = world();
    let running = world.start().await;
    let app = world.server().await.app();
    assert_ne!(one, two);
    assert_eq!(told(&classify(&app, "one", image("rgb.png")).await.headers), one);
    assert_eq!(told(&classify(&app, "two", image("rgb.png")).await.headers), two);
    let embedded = post(&app, "/v1/embed?task=one", "image/png", image("rgb.png")).await;
    assert_eq!(told(&embedded.headers), one);
    assert_eq!(told(&many(&app, &["one"]).await.headers), one);

    let answer = oip::infer(&app, "two", &oip::asked(&image("rgb.png"), &[])).await;
    assert_eq!(told(&answer.headers), two);
    let parameters = answer.json()["parameters"].clone();
    assert_eq!(parameters, json!(two));

    let answer = client(&running).await.model_infer(encoded("two", &[])).await.unwrap();
    assert_eq!(told(&answer.metadata().clone().into_headers()), two);
    let text = |choice| match choice {
        Some(ParameterChoice::StringParam(text)) => text,
        other => panic!("{other:?}"),
    };
    let parameters = answer.into_inner().parameters.into_iter();
    let parameters: BTreeMap<String, String> =
        parameters.map(|(name, value)| (name, text(value.parameter_choice))).collect();
    assert_eq!(json!(parameters), json!(two));
    running.end().await.unwrap().unwrap();
}

/// Neither the frozen backbone nor several tasks have one version; each of several results has its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_one_version_names_none() {
    let (world, one, two) = world();
    let app = world.server().await.app();
    let shared = || {
        let mut facts = one.clone();
        facts.retain(|name, _| !["version", "pack_digest"].contains(name));
        facts
    };
    let bare = post(&app, "/v1/embed", "image/png", image("rgb.png")).await;
    assert_eq!(told(&bare.headers), shared());
    let both = many(&app, &["one", "two"]).await;
    assert_eq!(told(&both.headers), shared());
    let runs = both.json()["runs"].clone();
    let packs: Vec<&str> = (0..2).map(|at| runs[at]["pack"].as_str().unwrap()).collect();
    assert_eq!(packs, [&one["pack_digest"], &two["pack_digest"]]);
    // A request for two tasks of which one answers is not the one's.
    assert_eq!(told(&many(&app, &["one", "gone"]).await.headers), shared());
}

/// Every header of ours in an answer is described.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_has_every_header_that_comes() {
    let (world, ..) = world();
    let app = world.server().await.app();
    let document = get(&app, "/api-doc/openapi.json").await.json();
    let answers = [
        ("/v1/tasks/{task}/classify", classify(&app, "one", image("rgb.png")).await),
        ("/v1/classify", many(&app, &["one"]).await),
        ("/v1/embed", post(&app, "/v1/embed?task=one", "image/png", image("rgb.png")).await),
        ("/v2/models/{model}/infer", oip::infer(&app, "one", &oip::asked(&image("rgb.png"), &[])).await),
    ];
    for (path, answer) in answers {
        let described = &document["paths"][path]["post"]["responses"]["200"]["headers"];
        let is_ours = |name: &&str| name.starts_with("x-") || *name == "server-timing";
        let named: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).filter(is_ours).collect();
        assert!(named.len() >= 12, "{path}: {named:?}");
        for name in named {
            assert!(described[name]["description"].is_string(), "{path} {name}: {described}");
        }
        assert!(
            document["paths"][path]["post"]["responses"]["400"]["headers"]["x-request-id"] != Value::Null
        );
    }
}
