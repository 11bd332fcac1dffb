//! One table: door, scope, whose task, state of the key.

use mimi_server::http::Origin;
use mimi_server::tenants::Scope;

use super::{Key, Written, ask, request, server, world};
use crate::server::send;

/// What each row of the table expects, by status.
const OK: u16 = 200;
const NO_KEY: u16 = 401;
const NOT_ALLOWED: u16 = 403;
const NO_TASK: u16 = 404;

pub(super) struct Keys {
    pub(super) infer: Key,
    pub(super) read: Key,
    pub(super) publish: Key,
    pub(super) all: Key,
    pub(super) over: Key,
    pub(super) operator: Key,
    pub(super) scraper: Key,
    pub(super) other: Key,
}

impl Keys {
    pub(super) fn new() -> Self {
        let key = Key::new;
        Self {
            infer: key("infer"),
            read: key("read"),
            publish: key("publish"),
            all: key("everything"),
            over: key("over"),
            operator: key("operator"),
            scraper: key("scraper"),
            other: key("other"),
        }
    }

    pub(super) fn file(&self) -> String {
        let own = [Scope::Infer, Scope::Read, Scope::Publish];
        [
            "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\nuses = [\"all.*\"]\n".to_owned(),
            self.infer.lines("a", &[Scope::Infer], ""),
            self.read.lines("a", &[Scope::Read], ""),
            self.publish.lines("a", &[Scope::Publish], "note = \"CI\""),
            self.all.lines("a", &own, "expires = 2999-01-01T00:00:00Z"),
            self.over.lines("a", &own, "expires = \"2020-01-01T00:00:00Z\""),
            "[tenants.b]\ntasks = [\"b.*\", \"all.*\"]\n".to_owned(),
            self.other.lines("b", &own, ""),
            "[tenants.operator]\n".to_owned(),
            self.operator.lines("operator", &[Scope::Admin], ""),
            self.scraper.lines("operator", &[Scope::Metrics], ""),
        ]
        .join("")
    }
}

/// Every door with each key: what is allowed, whose tasks are seen.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_is_one_table() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let wrong = Key::new("infer");
    let own = ["infer", "read", "publish", "all"];
    let key = |name: &str| match name {
        "none" => None,
        "infer" => Some(&keys.infer.secret),
        "read" => Some(&keys.read.secret),
        "publish" => Some(&keys.publish.secret),
        "all" => Some(&keys.all.secret),
        "over" => Some(&keys.over.secret),
        "operator" => Some(&keys.operator.secret),
        "scraper" => Some(&keys.scraper.secret),
        "other" => Some(&keys.other.secret),
        "wrong" => Some(&wrong.secret),
        name => panic!("{name}"),
    };
    // For tenant a's keys: method, path, and the keys that get 200; all others get what follows.
    let mut cases: Vec<(&str, String, &str, u16)> = Vec::new();
    for (task, told) in [
        ("a.one", OK),
        ("a.two", OK),
        ("all.one", OK),
        ("b.one", NO_TASK),
        ("a.none", NO_TASK),
        ("x", NO_TASK),
    ] {
        for (method, path, scope) in [
            ("POST", format!("/v1/tasks/{task}/classify"), "infer"),
            ("POST", format!("/v1/embed?task={task}"), "infer"),
            ("POST", format!("/v2/models/{task}/infer"), "infer"),
            ("POST", format!("/v2/models/{task}/versions/1/infer/"), "infer"),
            ("GET", format!("/v2/models/{task}"), "read"),
            ("GET", format!("/v2/models/{task}/ready"), "read"),
            ("GET", format!("/v2/models/{task}/config"), "read"),
            ("GET", format!("/v2/models/{task}/stats"), "read"),
            ("GET", format!("/v1/tasks/{task}"), "read"),
        ] {
            for name in own {
                let expected = if name == scope || name == "all" { told } else { NOT_ALLOWED };
                cases.push((method, path.clone(), name, expected));
            }
        }
        let published = if task == "all.one" { NOT_ALLOWED } else { told };
        for path in [
            format!("/v2/repository/models/{task}/unload"),
            format!("/v2/repository/models/{task}/load"),
            format!("/v1/tasks/{task}/reload"),
        ] {
            for name in own {
                let expected = if ["publish", "all"].contains(&name) { published } else { NOT_ALLOWED };
                cases.push(("POST", path.clone(), name, expected));
            }
        }
    }
    let doors = [
        ("POST", "/v1/tasks/a.one/classify"),
        ("POST", "/v1/classify"),
        ("POST", "/v1/embed"),
        ("POST", "/v2/models/a.one/infer"),
        ("GET", "/v2/models"),
        ("GET", "/v2/models/a.one/stats"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/a.one/load"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/a.one"),
        ("POST", "/v1/tasks/a.one/reload"),
        ("GET", "/v1/server"),
        ("GET", "/v1/folder"),
        ("POST", "/v1/folder/confirm"),
        ("GET", "/metrics"),
        ("GET", "/v1/nowhere"),
    ];
    for (method, path) in doors {
        for name in ["none", "wrong", "over"] {
            cases.push((method, path.to_owned(), name, NO_KEY));
        }
    }
    for path in [
        "/healthz",
        "/readyz",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready/",
        "/api-doc/openapi.json",
        "/docs/",
        "/",
        "/ui/app.js",
    ] {
        for name in ["none", "wrong", "over", "scraper"] {
            cases.push(("GET", path.to_owned(), name, OK));
        }
    }
    cases.extend([
        ("GET", "/metrics".into(), "scraper", OK),
        ("GET", "/metrics".into(), "operator", NOT_ALLOWED),
        ("GET", "/metrics".into(), "all", NOT_ALLOWED),
        ("GET", "/v1/server".into(), "read", OK),
        ("GET", "/v1/server".into(), "infer", NOT_ALLOWED),
        ("GET", "/v1/folder".into(), "operator", OK),
        ("GET", "/v1/folder".into(), "all", NOT_ALLOWED),
        ("POST", "/v1/folder/confirm".into(), "operator", OK),
        ("POST", "/v1/folder/confirm".into(), "all", NOT_ALLOWED),
        ("GET", "/v1/tasks".into(), "operator", NOT_ALLOWED),
        ("GET", "/v1/nowhere".into(), "infer", NO_TASK),
        ("GET", "/v1/nowhere".into(), "operator", NO_TASK),
        ("POST", "/v1/tasks/b.one/classify".into(), "other", OK),
        ("POST", "/v1/tasks/all.one/classify".into(), "other", OK),
        ("POST", "/v1/tasks/all.one/reload".into(), "other", OK),
        ("POST", "/v1/tasks/a.one/classify".into(), "other", NO_TASK),
        ("GET", "/v1/tasks/a.one".into(), "other", NO_TASK),
        ("POST", "/v1/tasks/a.one/reload".into(), "other", NO_TASK),
        ("POST", "/v1/tasks/a.one/classify".into(), "operator", NOT_ALLOWED),
    ]);
    assert!(cases.len() > 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for (method, path, name, expected) in &cases {
        let answer = ask(&app, method, path, key(name).map(String::as_str)).await;
        if answer.status != *expected {
            wrong.push(format!(
                "{method} {path} with {name}: {}, expected {expected}: {}",
                answer.status,
                answer.text()
            ));
        }
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            answer.status == NO_KEY,
            "{method} {path}"
        );
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}

/// A task of another tenant is answered as one that there is not, word for word, and adds no series.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_task_is_an_unknown_one() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let key = Some(keys.all.secret.as_str());
    for (method, path) in [
        ("POST", "/v1/tasks/T/classify"),
        ("POST", "/v1/embed?task=T"),
        ("POST", "/v2/models/T/infer"),
        ("GET", "/v2/models/T"),
        ("GET", "/v2/models/T/stats"),
        ("POST", "/v2/repository/models/T/unload"),
        ("GET", "/v1/tasks/T"),
        ("POST", "/v1/tasks/T/reload"),
    ] {
        let foreign = ask(&app, method, &path.replace('T', "b.one"), key).await;
        let unknown = ask(&app, method, &path.replace('T', "b.two"), key).await;
        assert_eq!(foreign.status, 404, "{method} {path}");
        assert_eq!(foreign.text().replace("b.one", "b.two"), unknown.text());
        let names = |answer: &crate::server::Answer| answer.headers.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&foreign), names(&unknown));
    }
    let many = serde_json::json!({"image": crate::classify::base64(&crate::server::image("rgb.png")),
        "tasks": ["a.one", "b.one", "b.two", "all.one"]});
    let mut asked = request("POST", "/v1/classify", key);
    asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
    *asked.body_mut() = many.to_string().into();
    let answer = send(&app, asked).await.json();
    let results = answer["results"].as_array().unwrap();
    let told = |at: usize| results[at]["code"].as_str().unwrap_or("ok").to_owned();
    assert_eq!([told(0), told(1), told(2), told(3)], ["ok", "task_not_found", "task_not_found", "ok"]);
    let series = ask(&app, "GET", "/metrics", Some(&keys.scraper.secret)).await.text();
    assert!(series.contains("task=\"a.one\"") && !series.contains("task=\"b.one\""), "{series}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_only_what_may_be_known() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let names = |answer: serde_json::Value| -> Vec<String> {
        answer["tasks"].as_array().unwrap().iter().map(|t| t["task"].as_str().unwrap().to_owned()).collect()
    };
    let list = |path: &'static str, key: &str| {
        let (app, key) = (app.clone(), key.to_owned());
        async move { ask(&app, "GET", path, Some(&key)).await.json() }
    };
    assert_eq!(names(list("/v1/tasks", &keys.read.secret).await), ["a.one", "a.two", "all.one"]);
    assert_eq!(names(list("/v1/tasks", &keys.other.secret).await), ["all.one", "b.one"]);
    assert_eq!(
        list("/v2/models", &keys.other.secret).await["models"],
        serde_json::json!(["all.one", "b.one"])
    );
    let index = ask(&app, "POST", "/v2/repository/index", Some(&keys.other.secret)).await.json();
    assert_eq!(
        (&index[0]["name"], &index[1]["name"], index.as_array().unwrap().len()),
        (&"all.one".into(), &"b.one".into(), 2)
    );
    let stats = list("/v2/models/stats", &keys.other.secret).await;
    assert_eq!(stats["model_stats"].as_array().unwrap().len(), 2);
    let first = list("/v1/tasks?limit=2", &keys.read.secret).await;
    assert_eq!((names(first.clone()).len(), first["next"].as_str()), (2, Some("a.two")));
    // Names of other tenants' tasks may stand in `after`; the page goes on behind them and says nothing of them.
    let rest = list("/v1/tasks?after=a.zzz", &keys.read.secret).await;
    assert_eq!((names(rest.clone()), rest["next"].is_null()), (vec!["all.one".to_owned()], true));
}

/// A tenant learns what its own rows cost and nothing of what ran beside them.
#[tokio::test(flavor = "multi_thread")]
async fn headers_tell_tenants_nothing_of_their_neighbours() {
    let (world, keys) = (world(), Keys::new());
    let both = Key::new("both");
    let more =
        format!("[tenants.c]\nuses = [\"a.*\"]\n{}", both.lines("c", &[Scope::Infer, Scope::Admin], ""));
    let file = Written::new(&(keys.file() + &more));
    let app = server(&world, &file).await.app();
    let load = ["x-mimi-queue-us", "x-mimi-run-us", "x-mimi-batch-rows", "x-mimi-decode-us", "server-timing"];
    for (key, tells) in [(&keys.infer, false), (&both, true)] {
        let answer = ask(&app, "POST", "/v1/tasks/a.one/classify", Some(&key.secret)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers.contains_key("x-mimi-flops"));
        assert!(load.iter().all(|name| answer.headers.contains_key(*name) == tells), "{:?}", answer.headers);
    }
}

/// Keys by either header; both at once only where they agree.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_by_either_header() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let (good, bad) = (keys.read.secret.as_str(), keys.over.secret.as_str());
    let bearer = |key: &str| ("authorization", format!("bearer {key}"));
    let plain = |key: &str| ("x-api-key", key.to_owned());
    for (headers, status) in [
        (vec![bearer(good)], OK),
        (vec![plain(good)], OK),
        (vec![bearer(good), plain(good)], OK),
        (vec![bearer(good), plain(bad)], NO_KEY),
        (vec![bearer(bad), plain(good)], NO_KEY),
        (vec![bearer(good), bearer(good)], NO_KEY),
        (vec![plain(good), plain(bad)], NO_KEY),
        (vec![("authorization", format!("Basic {good}"))], NO_KEY),
        (vec![("authorization", format!("Basic {good}")), plain(good)], OK),
        (vec![("authorization", good.to_owned())], NO_KEY),
        (vec![bearer("")], NO_KEY),
        (vec![bearer(&good[..good.len() - 1])], NO_KEY),
        (vec![bearer(&format!("{good}A"))], NO_KEY),
        (vec![bearer(&good.to_uppercase())], NO_KEY),
    ] {
        let mut asked = request("GET", "/v1/tasks", None);
        for (name, value) in &headers {
            asked.headers_mut().append(*name, value.parse().unwrap());
        }
        assert_eq!(send(&app, asked).await.status, status, "{headers:?}");
    }
}

/// A certificate's name and a gateway's header stand for a tenant, the header only from the gateway's network.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_gateways_name_tenants() {
    let world = world();
    let file = Written::new(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\nscopes = [\"read\"]\nidentities = [\"ann\"]\n\
         certificates = [\"DNS:a.example\"]\n[tenants.b]\ntasks = [\"b.*\"]\nscopes = [\"read\"]\nidentities = [\"bob\"]\n",
    );
    let mut config = world.config();
    config.tenants = Some(file.path.clone());
    config.http.identity = Some(mimi_server::http::IdentityHeader {
        header: "x-user".into(),
        networks: vec!["10.0.0.0/8".parse().unwrap()].into(),
    });
    let app = mimi_server::serve::Server::build(config).await.unwrap().app();
    let (inside, outside): ([u8; 4], [u8; 4]) = ([10, 1, 2, 3], [11, 1, 2, 3]);
    for (address, user, certificate, expected) in [
        (inside, Some("ann"), None, Some("a.one")),
        (inside, Some("bob"), None, Some("b.one")),
        (inside, Some("eve"), None, None),
        (inside, Some(""), None, None),
        // Whoever put a header of their own before the gateway's.
        (inside, Some("ann,bob"), None, None),
        (outside, Some("ann"), None, None),
        (outside, None, Some("DNS:a.example"), Some("a.one")),
        (outside, None, Some("CN:a.example"), None),
        (outside, Some("bob"), Some("DNS:a.example"), Some("a.one")),
        // A gateway's own certificate does not hide whom it speaks for.
        (inside, Some("bob"), Some("DNS:a.example"), Some("b.one")),
        (inside, None, None, None),
    ] {
        let mut asked = request("GET", "/v1/tasks", None);
        for user in user.iter().flat_map(|user| user.split(',')) {
            asked.headers_mut().append("x-user", user.parse().unwrap());
        }
        let certificate = certificate.map(|name| vec![name.to_owned()].into());
        asked.extensions_mut().insert(Origin { address: address.into(), certificate });
        let answer = send(&app, asked).await;
        let told =
            (answer.status == OK).then(|| answer.json()["tasks"][0]["task"].as_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), expected, "{address:?} {user:?}");
    }
}

/// An open server publishes only for its own host.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_publishes_only_for_its_own_host() {
    let world = world();
    let app = world.server().await.app();
    for (address, path, status) in [
        ([127, 0, 0, 1], "/v1/tasks/a.one/reload", OK),
        ([127, 0, 0, 1], "/v1/folder/confirm", OK),
        ([127, 0, 0, 1], "/v2/repository/models/a.one/load", OK),
        ([192, 168, 0, 9], "/v2/repository/models/a.one/load", NOT_ALLOWED),
        ([192, 168, 0, 9], "/v2/repository/models/a.one/unload", NOT_ALLOWED),
        ([192, 168, 0, 9], "/v2/repository/index", OK),
        ([192, 168, 0, 9], "/v1/tasks/a.one/reload", NOT_ALLOWED),
        ([192, 168, 0, 9], "/v1/folder/confirm", NOT_ALLOWED),
        ([192, 168, 0, 9], "/v1/tasks/a.one/classify", OK),
        ([192, 168, 0, 9], "/v1/nowhere", NO_TASK),
    ] {
        let mut asked = request("POST", path, None);
        asked.extensions_mut().insert(Origin { address: address.into(), certificate: None });
        let answer = send(&app, asked).await;
        assert_eq!(answer.status, status, "{address:?} {path}: {}", answer.text());
    }
    // Without any word of where it comes from, a request is not this host's.
    let asked = request("POST", "/v1/folder/confirm", None);
    let answer = tower::ServiceExt::oneshot(app, asked).await.unwrap();
    assert_eq!(answer.status(), NOT_ALLOWED);
}

/// Every route of the description, and each method that it has, wants a key, except those that say nothing of tenants.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_a_key() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let described = ask(&app, "GET", "/api-doc/openapi.json", None).await.json();
    let mut seen = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        let public = ["/healthz", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready"];
        let is_public = public.contains(&path.as_str());
        for method in methods.as_object().unwrap().keys() {
            let answer = ask(
                &app,
                &method.to_uppercase(),
                &path.replace("{task}", "a.one").replace("{model}", "a.one"),
                None,
            )
            .await;
            assert_eq!(answer.status == NO_KEY, !is_public, "{method} {path}: {}", answer.status);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// Whatever is wrong with a key, the answer is the same.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_valid_are_answered_alike() {
    let (world, keys) = (world(), Keys::new());
    let file = Written::new(&keys.file());
    let app = server(&world, &file).await.app();
    let (stranger, wrong) = (Key::new("stranger"), Key::new("read"));
    let expected = ask(&app, "GET", "/v1/tasks", Some(&keys.over.secret)).await;
    for key in [&stranger.secret, &wrong.secret, "nonsense", ""] {
        let mut answer = ask(&app, "GET", "/v1/tasks", Some(key)).await;
        assert_eq!((answer.status, answer.text()), (expected.status, expected.text()), "{key}");
        // Each request has a name of its own.
        answer.headers.insert("x-request-id", expected.headers["x-request-id"].clone());
        assert_eq!(answer.headers, expected.headers);
    }
}
