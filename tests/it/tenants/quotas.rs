//! Quotas: what a tenant may ask for, what it is told beyond that, and what is given back.

use mimi_server::tenants::Scope;

use super::{Key, Written, ask, server, world};

async fn limited(quota: &str) -> (axum::Router, Key, Key, crate::server::World, Written) {
    let world = world();
    let (key, other) = (Key::new("limited"), Key::new("free"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\n{quota}\n{}[tenants.b]\nuses = [\"a.*\"]\n{}",
        key.lines("a", &[Scope::Infer, Scope::Read], ""),
        other.lines("b", &[Scope::Infer], "")
    ));
    let app = server(&world, &file).await.app();
    (app, key, other, world, file)
}

/// Each quota refuses with 429, a wait and what is left, and never another tenant.
#[tokio::test(flavor = "multi_thread")]
async fn each_quota_refuses_its_tenant_alone() {
    for (measure, quota) in [
        ("requests", "quota = { requests_per_second = 0.1, burst_seconds = 20 }"),
        ("images", "quota = { images_per_second = 0.1, burst_seconds = 20 }"),
        ("flops", "quota = { gflops_per_second = 0.00001, burst_seconds = 1 }"),
        ("bytes", "quota = { mib_per_second = 0.000001, burst_seconds = 1 }"),
    ] {
        let (app, key, other, _world, _file) = limited(quota).await;
        let mut refused = None;
        for _ in 0..5 {
            let answer = ask(&app, "POST", "/v1/tasks/a.one/classify", Some(&key.secret)).await;
            assert_eq!(answer.headers["x-mimi-quota"], measure);
            assert!(answer.headers.contains_key("ratelimit-reset"), "{measure}");
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.unwrap_or_else(|| panic!("{measure} refuses nothing"));
        assert_eq!((refused.status.as_u16(), refused.code()), (429, "quota_exceeded".into()), "{measure}");
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= 1 && refused.text().contains(measure), "{}", refused.text());
        let answer = ask(&app, "POST", "/v1/tasks/a.one/classify", Some(&other.secret)).await;
        assert_eq!(answer.status, 200, "another tenant is refused for {measure}");
    }
}

/// What did not run is given back: broken images cost no FLOPs. They are images all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_is_given_back() {
    let slow = "quota = { images_per_second = 0.001, burst_seconds = 3000 }";
    let (app, key, _other, _world, _file) = limited(slow).await;
    let broken = |app: axum::Router, key: String| async move {
        let mut asked = super::request("POST", "/v1/tasks/a.one/classify", Some(&key));
        *asked.body_mut() = "no image".into();
        crate::server::send(&app, asked).await.status.as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(broken(app.clone(), key.secret.clone()).await);
    }
    // A little comes back meanwhile, which lets one more in.
    assert_eq!(statuses, [415, 415, 415, 415, 429]);
    // Enough for one image's FLOPs and no more.
    let (app, key, _other, _world, _file) =
        limited("quota = { gflops_per_second = 0.000001, burst_seconds = 1 }").await;
    for _ in 0..10 {
        assert_eq!(broken(app.clone(), key.secret.clone()).await, 415);
    }
    let answer = ask(&app, "POST", "/v1/tasks/a.one/classify", Some(&key.secret)).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["x-mimi-quota"]), (200, &"flops".parse().unwrap()));
    assert_eq!(ask(&app, "POST", "/v1/tasks/a.one/classify", Some(&key.secret)).await.status, 429);
}

/// Rows in flight are bounded, all or none of a request.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_flight_are_bounded() {
    let (app, key, _other, _world, _file) = limited("limits = { rows = 2 }").await;
    let image = crate::classify::base64(&crate::server::image("rgb.png"));
    for (count, status) in [(2, 200), (3, 413), (2, 200)] {
        let mut asked = super::request("POST", "/v1/tasks/a.one/classify", Some(&key.secret));
        asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
        *asked.body_mut() = serde_json::json!({ "images": vec![&image; count] }).to_string().into();
        let answer = crate::server::send(&app, asked).await;
        assert_eq!(answer.status, status, "{count}: {}", answer.text());
    }
}

/// Beyond its number of tasks a tenant's new ones are not published, and are once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_no_more_tasks_than_it_may() {
    let world = world();
    let key = Key::new("owner");
    let text = |most: usize| {
        let lines = key.lines("a", &[Scope::Infer, Scope::Read, Scope::Publish], "");
        format!("version = 1\n[tenants.a]\ntasks = [\"a.*\"]\nlimits = {{ tasks = {most} }}\n{lines}")
    };
    let file = Written::new(&text(2));
    let server = server(&world, &file).await;
    let app = server.app();
    world.publish("a.three", &world.contents(9, 3));
    let classify = |task: &'static str| ask(&app, "POST", task, Some(&key.secret));
    let refused = classify("/v1/tasks/a.three/reload").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (429, "quota_exceeded".into()),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("tenant a has 2 of 2 tasks"), "{}", refused.text());
    let shown = ask(&app, "GET", "/v1/tasks/a.three", Some(&key.secret)).await.json();
    assert_eq!((shown["failure"]["state"].as_str(), shown["version"].is_null()), (Some("over_limit"), true));
    assert!(
        !shown.to_string().contains("tenant a has"),
        "who may see a task is told its owner's limit: {shown}"
    );
    // A new version of a task that it has is published all the same.
    world.publish("a.two", &world.contents(8, 3));
    assert_eq!(classify("/v1/tasks/a.two/reload").await.status, 200);
    // At a start the first by name are served.
    let again = super::server(&world, &file).await.app();
    let first = ask(&again, "POST", "/v1/tasks/a.one/classify", Some(&key.secret)).await;
    let last = ask(&again, "POST", "/v1/tasks/a.two/classify", Some(&key.secret)).await;
    assert_eq!((first.status.as_u16(), last.status.as_u16()), (200, 503), "{}", last.text());
    let raised = Written::new(&text(3));
    let again = super::server(&world, &raised).await.app();
    assert_eq!(ask(&again, "POST", "/v1/tasks/a.three/classify", Some(&key.secret)).await.status, 200);
}

/// A tenant's packs go for each other when they take more memory than it may have; another tenant's stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_packs_make_room_for_each_other_alone() {
    let world = world();
    let (key, other) = (Key::new("owner"), Key::new("other"));
    let file = Written::new(&format!(
        "version = 1\n[tenants.a]\ntasks = [\"a.*\"]\nlimits = {{ pack_mib = 0.0001 }}\n{}\
         [tenants.b]\ntasks = [\"b.*\", \"all.*\"]\n{}",
        key.lines("a", &[Scope::Infer, Scope::Read], ""),
        other.lines("b", &[Scope::Infer, Scope::Read], "")
    ));
    let server = server(&world, &file).await;
    let app = server.app();
    for (task, key) in [("b.one", &other), ("all.one", &other), ("a.one", &key), ("a.two", &key)] {
        let answer = ask(&app, "POST", &format!("/v1/tasks/{task}/classify"), Some(&key.secret)).await;
        assert_eq!(answer.status, 200, "{task}: {}", answer.text());
    }
    for (task, key, resident) in
        [("b.one", &other, true), ("all.one", &other, true), ("a.one", &key, false), ("a.two", &key, true)]
    {
        let shown = ask(&app, "GET", &format!("/v1/tasks/{task}"), Some(&key.secret)).await.json();
        assert_eq!(shown["resident"], resident, "{task}");
    }
}
